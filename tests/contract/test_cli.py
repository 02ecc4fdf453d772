"""The command ``twin`` as a user runs it: in a process of its own, by what it prints and its exit code."""

import json
import signal
import subprocess
import sys

import pytest

from twin.results import RunReader, RunStatus
from twin.signals import Axis

ALWAYS_BELOW_THE_BAND = "\nlimits: {vm_min_pu: 1.2, vm_max_pu: 1.3}\n"


def the_run(results):
    (folder,) = (path.parent for path in results.glob("*/*/manifest.json"))
    return folder


def test_run_prints_one_table_and_stores_everything(finished_run):
    results, done = finished_run
    assert done.returncode == 0, done.stderr
    for text in ("Lowest voltage", "Peak import", "Reverse flow", "none", "self_consumption"):
        assert text in done.stdout
    folder = the_run(results)
    assert str(folder / "report.html") in done.stderr
    stored = {path.name for path in folder.iterdir()}
    assert stored == {
        "manifest.json", "scenario.yaml", "feeder.json", "context.json", "report.html", "none", "self_consumption",
    }  # fmt: skip
    run = RunReader(folder)
    assert run.manifest.status is RunStatus.FINISHED
    assert run.strategy("none").last_step == 95


def test_the_stored_scenario_runs_again_to_the_same_result(finished_run, twin, tmp_path):
    first = the_run(finished_run[0])
    done = twin("run", first / "scenario.yaml", "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    again = the_run(tmp_path / "again")
    for strategy in ("none", "self_consumption"):
        one, other = (RunReader(folder).strategy(strategy) for folder in (first, again))
        assert one.kpis() == other.kpis()


def test_json_is_data_on_stdout_and_nothing_else(small_scenario, twin, tmp_path):
    done = twin("run", small_scenario(), "--out", tmp_path / "out", "--json", "--strategy", "none")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert list(data["strategies"]) == ["none"]
    entry = data["strategies"]["none"]["kpis"]["peak_import_kw"]
    assert entry["unit"] == "kW"
    assert entry["value"] > 0


def test_options_replace_what_the_scenario_says(small_scenario, twin, tmp_path):
    path = small_scenario(("days: 1, ", "days: 3, "))
    done = twin(
        "run", path, "--days", 1, "--from", "2026-06-20", "--seed", 9, "--quiet", "--out", tmp_path / "out"
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    manifest = RunReader(the_run(tmp_path / "out")).manifest
    assert (manifest.n_steps, manifest.seed) == (96, 9)
    assert manifest.options == {"period.start": "2026-06-20", "period.days": 1, "seed": 9}


def test_a_wrong_option_is_named_as_it_was_written(small_scenario, twin):
    done = twin("run", small_scenario(), "--days", 0)
    assert done.returncode == 2
    assert "--days: period.days: must be at least 1 (got 0)" in done.stderr


def test_a_violated_limit_is_exit_code_3_only_when_asked_for(small_scenario, twin, tmp_path):
    path = small_scenario(extra=ALWAYS_BELOW_THE_BAND)
    arguments = ("run", path, "--strategy", "none", "--quiet", "--out", tmp_path / "out")
    assert twin(*arguments).returncode == 0
    assert twin(*arguments, "--fail-on-violation").returncode == 3


def test_check_runs_nothing_and_writes_nothing(small_scenario, twin, tmp_path):
    path = small_scenario()
    before = sorted(tmp_path.rglob("*"))
    done = twin("check", path, cwd=tmp_path)
    assert done.returncode == 0
    assert "good" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("capacity_kwh: 8", "capacity_kwh: -8"), "capacity_kwh"),
        (("share: 0.5, capacity", "bus: nowhere, name: b, capacity"), "no bus 'nowhere'"),
        (("share: 0.5, capacity", "home: nobody, name: b, capacity"), "no home 'nobody'"),
        (("shape.share", "shape.shar"), "did you mean 'share'"),
        (("create_cigre_network_lv", "create_cigre_network_lw"), "create_cigre_network_lv"),
        (("start: 2026-06-20", "start: 2026-06-21"), "covers 2026-06-20"),
        (("  none:", "  nonne:"), "did you mean"),
        (("profile: shape.share", "profile: feeder"), "no profiles"),
    ],
)
def test_bad_input_is_one_clear_line_with_exit_code_2_and_nothing_written(
    small_scenario, twin, tmp_path, change, message
):
    done = twin("run", small_scenario(change), "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert "small.yaml:" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_gap_in_a_profile_is_named_by_file_and_row(small_scenario, twin, tmp_path):
    path = small_scenario()
    shape = tmp_path / "shape.csv"
    shape.write_text(shape.read_text().replace("2026-06-20T05:00,0.30\n", "2026-06-20T05:00,\n"))
    done = twin("run", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "shape.csv" in done.stderr
    assert "05:00" in done.stderr or "row 6" in done.stderr
    assert not (tmp_path / "out").exists()


def test_every_mistake_is_reported_at_once(small_scenario, twin):
    path = small_scenario(("capacity_kwh: 8", "capacity_kwh: -8"), ("p_peak_kw: 8", "p_peek_kw: 8"))
    done = twin("check", path)
    assert done.returncode == 2
    assert "capacity_kwh" in done.stderr
    assert "did you mean 'p_peak_kw'" in done.stderr


def test_mistakes_that_need_the_feeder_come_together_too(small_scenario, twin):
    path = small_scenario(
        ("share: 0.5, capacity", "bus: nowhere, name: b, capacity"), ("  none:", "  nonne:")
    )
    done = twin("check", path)
    assert done.returncode == 2
    assert "no bus 'nowhere'" in done.stderr
    assert "did you mean 'none'" in done.stderr


def test_an_unknown_strategy_option_names_those_there_are(small_scenario, twin):
    done = twin("run", small_scenario(), "--strategy", "magic")
    assert done.returncode == 2
    assert "it has none, self_consumption" in done.stderr


def test_a_strategy_that_breaks_fails_the_run_and_keeps_the_others(small_scenario, twin, tmp_path):
    (tmp_path / "broken.py").write_text(
        "class Broken:\n"
        "    def __init__(self, site):\n"
        "        pass\n\n"
        "    def decide(self, seen):\n"
        "        raise ZeroDivisionError('oops')\n"
    )
    path = small_scenario(("  none:", "  bad: {use: 'broken.py:Broken'}\n  none:"))
    done = twin("run", path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "step 0" in done.stderr
    assert "oops" in done.stderr
    states = RunReader(the_run(tmp_path / "out")).manifest.strategies
    assert states["bad"].status is RunStatus.FAILED
    assert states["self_consumption"].status is RunStatus.FINISHED
    assert (the_run(tmp_path / "out") / "report.html").exists()


def test_a_power_flow_without_a_solution_names_its_step_and_keeps_the_day_so_far(
    small_scenario, twin, tmp_path
):
    rows = "".join(f"2026-06-20T{hour:02d}:00,{1e6 if hour == 12 else 1.0}\n" for hour in range(24))
    (tmp_path / "spike.csv").write_text("time,p\n" + rows)
    path = small_scenario(
        ("sources:\n", "sources:\n  spike: {file: spike.csv, unit: kW, time_zone: Europe/Rome}\n"),
        ("devices:\n", "devices:\n  - {kind: load, bus: Bus R11, name: furnace, profile: spike.p}\n"),
    )
    done = twin("run", path, "--out", tmp_path / "out", "--strategy", "none")
    assert done.returncode == 1
    assert "step 48 (2026-06-20T12:00" in done.stderr
    run = RunReader(the_run(tmp_path / "out"))
    assert run.manifest.status is RunStatus.FAILED
    assert run.strategy("none").last_step == 47
    assert "step 48" in run.manifest.strategies["none"].message


def test_a_file_in_place_of_the_results_folder_is_bad_input(small_scenario, twin, tmp_path):
    (tmp_path / "file").write_text("")
    done = twin("run", small_scenario(), "--out", tmp_path / "file")
    assert done.returncode == 2
    assert "is a file; name a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_report_and_compare_work_from_stored_results(finished_run, twin, tmp_path):
    folder = the_run(finished_run[0])
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert twin("report", folder).returncode == 0
    assert (folder / "report.html").read_bytes() == before
    done = twin("compare", folder, folder)
    assert done.returncode == 0
    assert "Peak import" in done.stdout
    data = json.loads(twin("compare", folder, "--json").stdout)
    assert set(data) == {"none", "self_consumption"}


def test_stored_steps_are_exported_as_csv(finished_run, twin, tmp_path):
    folder, to = the_run(finished_run[0]), tmp_path / "trafo.csv"
    done = twin("export", folder, "--strategy", "none", "--axis", "trafo", "--to", to)
    assert done.returncode == 0, done.stderr
    lines = to.read_text().splitlines()
    names = RunReader(folder).strategy("none").names(Axis.TRAFO)
    assert lines[0].startswith("time_utc,trafo,p_kw")
    assert lines[1].startswith(f"2026-06-19T22:00:00Z,{names[0]},")
    assert len(lines) == 1 + 96 * len(names)
    assert twin("export", folder, "--strategy", "none", "--axis", "tree", "--to", to).returncode == 2
    assert twin("export", folder, "--strategy", "nobody", "--axis", "bus", "--to", to).returncode == 2


def test_a_folder_that_is_no_run_is_bad_input(twin, tmp_path):
    for command in ("report", "compare"):
        done = twin(command, tmp_path)
        assert done.returncode == 2
        assert "no run" in done.stderr


def test_schema_is_json(twin):
    schema = json.loads(twin("schema").stdout)
    assert schema["type"] == "object"
    assert "feeder" in schema["properties"]


def test_feeder_describes_a_network(twin):
    done = twin("feeder", "pandapower:create_cigre_network_lv")
    assert done.returncode == 0
    assert "44" in done.stdout
    assert json.loads(twin("feeder", "pandapower:create_cigre_network_lv", "--json").stdout)["buses"] == 44
    assert twin("feeder", "pandapower:nothing").returncode == 2


def test_feeder_takes_a_bare_simbench_code_with_a_dot(twin):
    done = twin("feeder", "1-MVLV-rural-1.108-0-sw")
    assert done.returncode == 0
    assert "MV1.101 busbar1.1" in done.stdout


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["killed", "interrupted", "ended"]
)
def test_a_run_that_is_stopped_leaves_readable_results(small_scenario, tmp_path, twin, how):
    (tmp_path / "slow.py").write_text(
        "import sys\n\n"
        "from twin.control import Proposal\n\n\n"
        "class Slow:\n"
        "    def __init__(self, site):\n"
        "        pass\n\n"
        "    def decide(self, seen):\n"
        "        if seen.step == 300:\n"
        "            print('at 300', flush=True)\n"
        "            sys.stdin.readline()\n"
        "        return Proposal(battery_kw=0 * seen.soc)\n"
    )
    shape = ("period: {start: 2026-06-20, days: 1", "period: {start: 2026-06-20, days: 7")
    constant = ("profile: shape.share", "profile: constant")
    path = small_scenario(shape, constant, ("  none:", "  slow: {use: 'slow.py:Slow'}"))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "twin", "run", str(path), "--out", str(out), "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "at 300\n"
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    run = RunReader(the_run(out))
    expected = RunStatus.UNFINISHED if how is signal.SIGKILL else RunStatus.INTERRUPTED
    assert run.manifest.status is expected
    assert run.strategy("slow").last_step >= 287, "three whole days are on disk"
    assert twin("report", the_run(out)).returncode == 0
    assert twin("compare", the_run(out)).returncode == 0


def test_help_needs_none_of_the_heavy_packages():
    code = (
        "import sys, twin.cli\n"
        "heavy = {'numpy', 'pandas', 'pandapower', 'mosaik', 'pyarrow', 'duckdb', 'matplotlib', 'pydantic', 'scipy'}\n"
        "heavy |= {'hil_adapters', 'serial', 'sunspec2', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_strategy_prints_does_not_mix_with_the_json(small_scenario, twin, tmp_path):
    (tmp_path / "wordy.py").write_text(
        "from helper import nothing\n\n\n"
        "class Wordy:\n"
        "    def __init__(self, site):\n"
        "        pass\n\n"
        "    def decide(self, seen):\n"
        "        print('hello')\n"
        "        return nothing(seen)\n"
    )
    (tmp_path / "helper.py").write_text(
        "from twin.control import Proposal\n\n\ndef nothing(seen):\n    return Proposal(battery_kw=0 * seen.soc)\n"
    )
    path = small_scenario(("  none:", "  wordy: {use: 'wordy.py:Wordy'}"))
    done = twin("run", path, "--out", tmp_path / "out", "--json", "--strategy", "wordy")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["strategies"]) == ["wordy"]
    assert "hello" in done.stderr


def test_a_strategy_that_is_asked_in_another_way_is_refused_before_the_run(small_scenario, twin, tmp_path):
    (tmp_path / "odd.py").write_text(
        "class Odd:\n    def __init__(self, site):\n        pass\n\n    def decide(self):\n        return None\n"
    )
    done = twin("check", small_scenario(("  none:", "  odd: {use: 'odd.py:Odd'}")))
    assert done.returncode == 2
    assert "decide(seen)" in done.stderr


def test_check_says_what_of_the_network_is_left_out(small_scenario, twin):
    path = small_scenario(("profile: shape.share", "profile: constant, match: 'Load R1*'"))
    done = twin("check", path)
    assert done.returncode == 0, done.stderr
    assert "of the network's 15 loads" in done.stderr


def test_check_doubts_a_load_of_half_a_megawatt_and_one_that_feeds_in(small_scenario, twin, tmp_path):
    rows = "".join(f"2026-06-20T{hour:02d}:00,500,-1\n" for hour in range(24))
    (tmp_path / "odd.csv").write_text("time,watts,negative\n" + rows)
    path = small_scenario(
        ("sources:\n", "sources:\n  odd: {file: odd.csv, unit: kW, time_zone: Europe/Rome}\n"),
        (
            "devices:\n",
            (
                "devices:\n  - {kind: load, bus: Bus R11, name: house, profile: odd.watts}\n"
                "  - {kind: load, bus: Bus R11, name: flipped, profile: odd.negative}\n"
            ),
        ),
    )
    done = twin("check", path)
    assert done.returncode == 0, done.stderr
    assert "check the unit of their source (first: 'house', 500 to 500 kW)" in done.stderr
    assert "check the sign of their source (first: 'flipped', -1 to -1 kW)" in done.stderr


def test_a_selection_that_fits_nothing_is_a_mistake(small_scenario, twin):
    done = twin(
        "check", small_scenario(extra="\noutput: {detail: selected, selected: ['Bus R1*', 'nonsense*']}\n")
    )
    assert done.returncode == 2
    assert "output.selected[1]" in done.stderr
    assert "nonsense*" in done.stderr
