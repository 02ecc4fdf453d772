"""Laws of the times of steps, for every step that a run may have."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.clock import (
    SUBSECOND_STEPS_S,
    end_of_steps_s,
    first_step_from,
    is_whole_steps,
    step_at,
    step_length,
    step_time,
    steps_in,
    whole_seconds,
)
from twin.community.meters import MeterAccumulator
from twin.members import Communities
from twin.profiles.resample import resample_mean
from twin.signals import Chunk

WHOLE = [dt_s for dt_s in range(1, 901) if 900 % dt_s == 0]
STEPS_S = st.sampled_from([*SUBSECOND_STEPS_S, *WHOLE])
PER_SECOND = {0.1: 10, 0.2: 5, 0.25: 4, 0.5: 2}


@given(STEPS_S, st.integers(1, 10_000))
def test_steps_in_quarters_are_exact(dt_s: float, quarters: int) -> None:
    steps = steps_in(900 * quarters, dt_s)
    if isinstance(dt_s, int):
        assert steps * dt_s == 900 * quarters
    else:
        assert steps == 900 * quarters * PER_SECOND[dt_s]
    assert whole_seconds(steps, dt_s) == end_of_steps_s(steps, dt_s) == 900 * quarters


@given(STEPS_S, st.integers(-(10**9), 10**10))
def test_a_step_begins_at_or_before_the_seconds_it_is_found_by(dt_s: float, time_s: int) -> None:
    step, following = step_at(time_s, dt_s), first_step_from(time_s, dt_s)
    assert whole_seconds(step, dt_s) <= time_s < whole_seconds(step, dt_s) + max(dt_s, 1)
    assert following - step == (0 if dt_s < 1 or time_s % dt_s == 0 else 1)
    assert np.array_equal(step_at(np.array([time_s]), dt_s), [step])


@given(STEPS_S, st.integers(0, 10**7))
def test_the_product_of_floats_never_falls_into_the_second_before(dt_s: float, step: int) -> None:
    # what strategies and FMUs are told as their time
    assert int(step * dt_s) == whole_seconds(step, dt_s)


@given(st.sampled_from(SUBSECOND_STEPS_S), st.integers(0, 10**7))
def test_the_time_of_a_step_is_its_number_over_the_steps_of_a_second(dt_s: float, step: int) -> None:
    at = step_time(1_467_626_400, step, dt_s)
    whole, rest = divmod(step, PER_SECOND[dt_s])
    assert int(at.timestamp()) == 1_467_626_400 + whole
    assert at.microsecond * PER_SECOND[dt_s] == 1_000_000 * rest


@given(st.floats(min_value=1e-3, max_value=1000, allow_nan=False))
def test_a_length_is_a_step_of_a_run_or_refused(dt_s: float) -> None:
    if dt_s in SUBSECOND_STEPS_S or dt_s == int(dt_s) >= 1:
        assert step_length(dt_s) == dt_s
        assert is_whole_steps(int(dt_s) if dt_s >= 1 else 1, dt_s)
    else:
        with pytest.raises(ValueError, match="a step lasts whole seconds"):
            step_length(dt_s)


@given(
    STEPS_S,
    st.sampled_from([1, 7, 60, 900]),
    st.lists(st.integers(-50, 50), min_size=1, max_size=8),
    st.integers(0, 3000),
)
def test_resampling_keeps_the_integral(dt_s: float, from_s: int, values: list[int], offset_s: int) -> None:
    span_s = len(values) * from_s
    offset_s %= span_s
    n_steps = step_at(span_s - offset_s, dt_s)
    taken = resample_mean(np.array(values, dtype=float), from_s, dt_s, offset_s=offset_s, n_steps=n_steps)
    end_s = offset_s + whole_seconds(n_steps, dt_s)
    edges_s = np.arange(len(values) + 1) * from_s
    within_s = np.clip(edges_s[1:], offset_s, end_s) - np.clip(edges_s[:-1], offset_s, end_s)
    assert taken.sum() * dt_s == pytest.approx(float(within_s @ values), abs=1e-6 * span_s)


MEMBERS = Communities(
    name=("c",),
    kind=("CER",),
    perimeter=("cp",),
    area=("CP1",),
    cp=np.array([0]),
    cp_name=("CP1",),
    zone="NORD",
    member_home=np.array([0]),
    member_community=np.array([0]),
    member_kind=("household",),
    member_role=("prosumer",),
    member_contract_kw=np.array([3.0]),
    member_invest_eur=np.zeros(1),
    member_first_step=np.array([0]),
    member_end_step=np.array([10**9]),
    plant_pv=np.array([0]),
    plant_member=np.array([0]),
    plant_kw=np.array([6.0]),
    plant_entered_day=np.array([0]),
    plant_grant_share=np.zeros(1),
)


@settings(max_examples=20)
@given(
    st.sampled_from(SUBSECOND_STEPS_S),
    st.lists(st.integers(-8, 8), min_size=2, max_size=6),
    st.integers(0, 3),
    st.data(),
)
def test_meters_read_the_same_at_any_step(
    dt_s: float, quarters_kw: list[int], quarter: int, data: st.DataObject
) -> None:
    start_utc_s = 1_467_626_400 + 900 * quarter
    joined_s = data.draw(st.integers(0, 900 * len(quarters_kw) - 1))
    readings = []
    for step_s in (1, dt_s):
        p_kw = np.repeat(np.array(quarters_kw, dtype=np.float32), steps_in(900, step_s))
        meters = MeterAccumulator(
            replace(MEMBERS, member_first_step=np.array([step_at(joined_s, step_s)])),
            dt_s=step_s,
            start_utc_s=start_utc_s,
            n_steps=len(p_kw),
            pv_home=np.array([0]),
        )
        cut = data.draw(st.integers(1, len(p_kw) - 1))
        for first, stop in ((0, cut), (cut, len(p_kw))):
            column = p_kw[first:stop, None]
            price = np.full_like(column, 0.25)
            meters.add(
                Chunk(
                    first_step=first,
                    arrays={
                        "home.p_kw": column,
                        "pv.p_kw": np.minimum(column, 0),
                        "feeder.price_import_eur_kwh": price,
                        "feeder.price_export_eur_kwh": price,
                    },
                )
            )
        readings.append((meters.hourly(), meters.totals()))
    (coarse, coarse_totals), (fine, fine_totals) = readings
    assert np.array_equal(coarse.hour_start_utc_s, fine.hour_start_utc_s)
    for name in ("injected_kwh", "withdrawn_kwh", "plant_injected_kwh"):
        assert getattr(fine, name) == pytest.approx(getattr(coarse, name), abs=1e-9)
    assert (coarse.active is None) == (fine.active is None)
    assert coarse.active is None or np.array_equal(coarse.active, fine.active)
    assert fine_totals.peak_kw == pytest.approx(coarse_totals.peak_kw)
    assert fine_totals.energy_cost_eur == pytest.approx(coarse_totals.energy_cost_eur)
    assert fine_totals.over_contract_h == pytest.approx(coarse_totals.over_contract_h)
