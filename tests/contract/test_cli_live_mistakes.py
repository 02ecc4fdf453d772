"""What ``twin live`` refuses before it connects to anything, and what a script reads of a run that does not count."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from twin.cli import app

SCENARIO = """\
name: lab
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T12:00, duration_s: 2 min, step_s: 1 s}
devices:
  - {kind: load, from: feeder, profile: constant}
  - kind: pv
    name: Roof
    home: Load R1
    p_peak_kw: 10 kW
    profile: constant
    as: hardware
    modbus:
      map: sunspec_pv
      host: 127.0.0.1
      serial: SN-0317
      limits: {p_limit_kw: {min: 0 kW, max: 10 kW}}
strategies: {none: }
"""


@pytest.fixture(name="lab")
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lab = tmp_path / "lab.yaml"
    lab.write_text(SCENARIO, encoding="utf-8")
    return lab


def live(lab: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["live", str(lab), *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of --armed, --read-only, --dry-run"),
        (("--armed", "--read-only"), "one of --armed, --read-only, --dry-run"),
        (("--armed",), "nobody is there to confirm it"),
        (
            ("--armed", "--confirm", "Rof=SN-0317"),
            "--confirm Rof: the scenario has no such real device; it has Roof",
        ),
        (("--armed", "--confirm", "Roof=SN-0371"), "the scenario expects serial number SN-0317"),
        (("--armed", "--confirm", "Roof"), "write NAME=SERIAL"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_and_nothing_is_stored(
    lab: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = live(lab, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not (lab.parent / "results").exists()


def test_a_scenario_without_real_devices_is_sent_to_run(lab: Path) -> None:
    lab.write_text(SCENARIO.replace("as: hardware", "as: virtual"), encoding="utf-8")
    result = live(lab)
    assert result.exit_code == 2
    assert "has no real device" in result.output
    assert "twin run" in result.output


def test_a_script_reads_why_a_run_does_not_count(lab: Path) -> None:
    silent = (
        "      faults: [{fault: silent, from_s: 2}]\nlive: {poll: 100 ms, invalid_if: {stale_share: 1 %}}\n"
    )
    virtual = SCENARIO.replace("as: hardware", "as: virtual").replace("strategies:", f"{silent}strategies:")
    lab.write_text(
        "".join(
            line
            for line in virtual.splitlines(keepends=True)
            if "host:" not in line and "serial:" not in line
        ),
        encoding="utf-8",
    )
    arguments = ["run", str(lab), "--duration", "8s", "--json", "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    (reason, *_) = json.loads(result.stdout)["strategies"]["none"]["invalid"]
    assert reason.startswith("Roof: ")
    assert "the limit is" in reason
    assert f"error: none: the run does not count: {reason}" in result.stderr
