"""Whether a device lets go of its set-point by itself: held for ever, and let go of only when nobody asks anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance_rig import FollowingBank, ListeningBank, accepted, limited_map
from guard_rig import ENABLED, guard_place

from hil_adapters.acceptance.results import Outcome


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that a socket's path fits in, where guardians register."""
    patch = pytest.MonkeyPatch()
    with patch.context() as inside, guard_place(inside) as folder:
        yield folder


def test_a_device_that_holds_its_set_point_for_ever_must_not_be_armed(place: Path) -> None:
    run = accepted(place, FollowingBank(holds_for_ever=True))
    check = run.check("watchdog of p_limit_kw")
    assert (check.outcome, check.value) == (Outcome.FAILED, "held")
    assert not run.result.passed
    assert run.result.report.watchdog["p_limit_kw"].released_after_s is None
    assert run.bank.registers[ENABLED] == 0, "the guard let go of it"


def test_a_watchdog_that_counts_any_request_is_proven_by_silence(place: Path) -> None:
    file = limited_map(
        place,
        ("kind: timer, point: limit_timer,", "kind: traffic,"),
        ("      - {point: limit_timer, from_watchdog: true}\n", ""),
        ("  limit_timer: {low: 1, high: 600, class: volatile}\n", ""),
    )
    run = accepted(place, ListeningBank(), map_file=file)
    check = run.check("watchdog of p_limit_kw")
    assert check.outcome is Outcome.PASSED, check.text
    proof = run.result.report.watchdog["p_limit_kw"]
    assert proof.released_after_s is not None
    assert 1.0 <= proof.released_after_s <= 3.5
    assert run.result.passed
