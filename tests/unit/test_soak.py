import math
from pathlib import Path
from typing import Any

import pytest

from tools.soak import Look, growth_mb_h, scenario, verdict
from twin.scenario import load_scenario

STRATEGY: dict[str, Any] = {"status": "finished", "invalid": [], "live": {"timing": {"n_steps": 7200}}}


def looks(*, leak_mb_h: float, hours: float = 2.0, files: int = 30) -> list[Look]:
    """Return looks a minute apart: a guardian that grows fast while it warms up, then steadily."""
    n = round(60 * hours)
    return [
        Look(
            at_s=60.0 * k,
            memory_mb={"run": 400.0, "guardian": 140.0 + min(k, 5) * 4.0 + leak_mb_h * k / 60, "host": 130.0},
            open_files={"run": 11, "guardian": files if k > n / 2 else 30, "host": 30},
            disk_mb=float(k),
            steps=60 * k,
            late_p99_ms=1.0,
        )
        for k in range(n + 1)
    ]


def test_growth_is_that_after_the_warm_up() -> None:
    assert growth_mb_h(looks(leak_mb_h=12.0), "guardian") == pytest.approx(12.0)
    assert growth_mb_h(looks(leak_mb_h=12.0), "run") == pytest.approx(0.0)
    assert math.isnan(growth_mb_h([], "run"))


@pytest.mark.parametrize(
    ("seen", "changes", "events", "wrong"),
    [
        (looks(leak_mb_h=1.0), {}, [], []),
        (looks(leak_mb_h=12.0), {}, [], ["guardian grows by 12.0 MB/h, 5 are allowed"]),
        (looks(leak_mb_h=12.0, hours=0.5), {}, [], []),
        (looks(leak_mb_h=0.0, files=99), {}, [], ["guardian has 99 open files, 30 at first"]),
        (looks(leak_mb_h=0.0), {"status": "failed"}, [], ["the run is failed"]),
        (looks(leak_mb_h=0.0), {"invalid": ["6.0 % late"]}, [], ["6.0 % late"]),
        (looks(leak_mb_h=0.0), {}, ["roof 1: tripped: e-stop"], ["roof 1: tripped: e-stop"]),
        ([], {"status": "failed"}, [], ["the run is failed"]),
    ],
    ids=["well", "leak", "too-short", "files", "failed", "invalid", "tripped", "nothing"],
)
def test_the_verdict_names_what_is_not_well(
    seen: list[Look], changes: dict[str, Any], events: list[str], wrong: list[str]
) -> None:
    assert verdict(seen, STRATEGY | changes, events)["wrong"] == wrong


def test_its_scenario_is_one(tmp_path: Path) -> None:
    file = tmp_path / "soak.yaml"
    file.write_text(scenario(duration_s=3600, devices=5))
    loaded = load_scenario(file)
    assert [entry.spec.kind for entry in loaded.devices] == ["load", "pv", "battery", "pv", "battery", "pv"]
