"""What reaches whom, and when."""

from dataclasses import replace

import numpy as np
import pytest

from twin.control.base import NEVER_HEARD
from twin.control.forecast import PersistenceForecast
from twin.control.management.cascade import Cascade
from twin.control.management.delivery import Delivery
from twin.control.management.guidance import Priority, no_guidance
from twin.control.rules import SelfConsumption


class Clockwork:
    """Asks every battery for as many tenths of a kW as the number of the step, and keeps what it saw."""

    def __init__(self, site, *, valid_steps=1):
        self.site, self.valid_steps, self.seen = site, valid_steps, []

    def guide(self, seen, above):
        self.seen.append(seen)
        nothing = no_guidance(self.site)
        return replace(
            nothing,
            battery_kw=np.full(self.site.battery.n, 0.1 * (seen.step + 1)),
            priority=np.full_like(nothing.priority, Priority.ADVICE),
            expires_step=np.full_like(nothing.expires_step, seen.step + self.valid_steps),
        )


@pytest.fixture
def run_clockwork(make_site, play):
    """Run the guide on homes without load: what a battery does is what has reached it."""

    def run(community_of_home, *, valid_steps=1, n_steps=8, **of_home):
        homes = range(len(community_of_home))
        site = make_site(community_of_home, battery_home=tuple(homes), n_steps=n_steps, **of_home)
        guide = Clockwork(site, valid_steps=valid_steps)
        load_kw = np.zeros((n_steps, len(homes)))
        done = play(Cascade(site, guides=(guide,)), site, load_kw, np.full(len(homes), 0.5))
        return np.round(10 * done.battery_kw).astype(int).T.tolist(), guide.seen

    return run


def test_without_delay_guidance_holds_in_its_own_step(run_clockwork):
    asked, seen = run_clockwork([0])
    assert asked == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert [int(view.age_steps[0]) for view in seen] == [0] * 8


def test_a_delay_of_k_steps_shifts_guidance_and_readings_by_k_steps(run_clockwork):
    asked, seen = run_clockwork([0, 0, 0], delay={1: 1, 2: 3}, valid_steps=4)
    assert asked == [[1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 1, 2, 3, 4, 5]]
    assert [view.age_steps.tolist() for view in seen[:4]] == [
        [0, NEVER_HEARD, NEVER_HEARD],
        [0, 1, NEVER_HEARD],
        [0, 1, NEVER_HEARD],
        [0, 1, 3],
    ]
    # the state of charge in view is that of the step the reading was taken in: 0.5, then 0.5 + 0.1 kWh of 10 kWh
    assert [round(float(view.soc[1]), 3) for view in seen[1:4]] == [0.5, 0.5, 0.51]


def test_guidance_that_is_late_beyond_its_expiry_is_not_followed(run_clockwork):
    asked, _ = run_clockwork([0, 0], delay={0: 2, 1: 3}, valid_steps=3)
    assert asked == [[0, 0, 1, 2, 3, 4, 5, 6], [0] * 8]


def test_a_silent_member_keeps_the_last_guidance_until_it_expires(run_clockwork):
    asked, seen = run_clockwork([0], silent=((0, 2, 7),), valid_steps=3)
    assert asked == [[1, 2, 2, 2, 0, 0, 0, 8]]
    assert [int(view.age_steps[0]) for view in seen] == [0, 0, 1, 2, 3, 4, 5, 0]
    assert seen[6].soc[0] == seen[1].soc[0], "the last reading is held"


def test_a_message_under_way_when_the_line_fails_is_lost(run_clockwork):
    # sent in steps 0 to 7, due two steps later; the line is down in steps 3 and 4
    asked, seen = run_clockwork([0], silent=((0, 3, 5),), delay={0: 2}, valid_steps=3)
    assert asked == [[0, 0, 1, 0, 0, 0, 0, 6]]
    assert [int(view.age_steps[0]) for view in seen[2:]] == [2, 3, 4, 5, 6, 2]


def test_who_has_opted_out_or_is_no_member_is_neither_heard_nor_asked(run_clockwork):
    asked, seen = run_clockwork([0, 0, None], opted_out=(1,))
    assert asked == [[1, 2, 3, 4, 5, 6, 7, 8], [0] * 8, [0] * 8]
    for view in seen:
        assert view.age_steps.tolist() == [0, NEVER_HEARD, NEVER_HEARD]
        assert np.isnan(
            [view.load_kw[1:], view.pv_kw[1:], view.soc[1:], view.grid_kw[1:], view.vm_pu[1:]]
        ).all()
        assert np.isnan(view.forecast.window(view.step, 2)[0][:, 1:]).all()


def test_a_member_is_heard_and_asked_only_while_it_is_one(run_clockwork):
    asked, seen = run_clockwork([0, 0], first={1: 3}, end={1: 6}, valid_steps=9)
    assert asked[1] == [0, 0, 0, 4, 5, 6, 0, 0]
    assert [int(view.age_steps[1]) for view in seen] == [NEVER_HEARD] * 3 + [0] * 3 + [NEVER_HEARD] * 2


def test_before_anything_is_heard_homes_serve_themselves(make_site, play):
    site = make_site([0, 0], battery_home=(0, 1), silent=((0, 0, 9), (1, 0, 9)), n_steps=4)
    net_kw = [[1.0, -2.0], [-3.0, 0.3], [0.1, 0.7], [2.0, -0.2]]
    managed = play(Cascade(site, guides=(Clockwork(site),)), site, net_kw, [0.5, 0.5])
    alone = play(SelfConsumption(site), site, net_kw, [0.5, 0.5])
    assert managed.battery_kw.tobytes() == alone.battery_kw.tobytes()


def test_what_the_levels_above_see_cannot_be_written(make_site, see):
    site = make_site([0], battery_home=(0,))
    view = Delivery(site).view(see([1.0], [0.5]))
    for array in (view.load_kw, view.pv_kw, view.soc, view.vm_pu, view.grid_kw, view.age_steps):
        assert not array.flags.writeable


def test_the_forecast_of_a_late_home_knows_nothing_later_than_its_last_reading(make_site, see):
    site = make_site([0, 0], delay={1: 2}, dt_s=21600, n_steps=12)
    load_kw = np.arange(24.0).reshape(12, 2)
    known = PersistenceForecast(
        load_kw=load_kw,
        pv_kw=0 * load_kw,
        price_import_eur_kwh=np.ones(12),
        price_export_eur_kwh=np.ones(12),
        steps_per_day=4,
    )
    delivery = Delivery(site)
    for step in range(8):
        view = delivery.view(replace(see(load_kw[step], [], step=step), forecast=known))
    window_kw = view.forecast.window(7, 4)[0]
    assert window_kw[:, 0].tolist() == [14.0, 8.0, 10.0, 12.0], "now, then the day before"
    # steps 7 to 10 with nothing after step 5 known: those of steps 3, 4, 5 and 2
    assert window_kw[:, 1].tolist() == [7.0, 9.0, 11.0, 5.0]
    assert view.forecast.prices(7, 4)[0].tolist() == [1.0] * 4


def test_a_step_that_was_left_out_delivers_nothing_old(make_site, see):
    site = make_site([0], delay={0: 1})
    delivery = Delivery(site)
    delivery.view(see([1.0], [], step=0))
    assert delivery.view(see([2.0], [], step=3)).age_steps.tolist() == [NEVER_HEARD]
    assert delivery.view(see([3.0], [], step=4)).load_kw.tolist() == [2.0]
