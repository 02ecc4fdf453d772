"""The command ``twin check-controller`` as a developer's CI runs it: by exit code, JSON and table."""

import json

import pytest

HEAD = """
import os
import sys
import numpy as np
from twin.control import Observation, Proposal, Site

print("loading my library", file=sys.stdout)


class Sound:
    def __init__(self, site: Site, share: float = 0.5) -> None:
        self.site, self.share = site, share
        if share > 1:
            raise ValueError("share must be at most 1")

    def decide(self, seen: Observation) -> Proposal:
        return Proposal(battery_kw=0.0 * self.share * self.site.battery.charge_kw)


class Broken(Sound):
    def decide(self, seen: Observation) -> Proposal:
        print("deciding")
        os.write(1, b"solving\\n")
        return Proposal(battery_kw=np.random.rand(self.site.battery.n))
"""


@pytest.fixture
def mine(tmp_path):
    """Write strategies into a folder and return it."""
    (tmp_path / "mine.py").write_text(HEAD)
    return tmp_path


def test_a_sound_class_of_a_file_conforms_and_the_command_leaves_with_0(mine, twin):
    done = twin("check-controller", "mine.py:Sound", "--param", "share=0.25", cwd=mine)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "mine.py:Sound(share=0.25) on 10 homes"
    assert lines[-1].startswith("conforms (")
    assert "✗" not in done.stdout
    for check in ("repeatable", "missing_first", "many_homes", "memory", "speed"):
        assert check in done.stdout


def test_a_broken_class_leaves_with_1_and_says_what_to_do(mine, twin):
    done = twin("check-controller", "mine.py:Broken", cwd=mine)
    assert done.returncode == 1, done.stderr
    table, _, below = done.stdout.partition("random_state: ")
    assert "✗ fail    random_state" in table
    assert "✗ fail    output" in table
    assert below.startswith("replace np.random.* and random.* by a generator of the controller")
    assert done.stdout.splitlines()[-1].startswith("does not conform (")
    assert "deciding" not in done.stdout.splitlines()


def test_json_is_data_on_stdout_whatever_the_class_prints(mine, twin):
    done = twin("check-controller", "mine.py:Broken", "--json", cwd=mine)
    assert done.returncode == 1
    data = json.loads(done.stdout)
    assert data["controller"] == "mine.py:Broken"
    assert data["passed"] is False
    outcome = {check["id"]: check["outcome"] for check in data["checks"]}
    assert outcome["random_state"] == outcome["output"] == "fail"
    assert outcome["repeatable"] == "pass"
    assert all(check["remedy"] for check in data["checks"] if check["outcome"] in {"fail", "advice"})
    assert "loading my library" in done.stderr


def test_the_plant_of_a_scenario_takes_the_place_of_the_made_up_one(small_scenario, twin):
    path = small_scenario()
    done = twin("check-controller", "self_consumption", "--scenario", path, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    evidence = {check["id"]: check["evidence"] for check in data["checks"]}
    assert data["plant"] == str(path)
    assert evidence["proposal"] == f"96 steps on {path}"
    assert evidence["many_homes"] == "2 steps with valid proposals"


def test_a_limit_that_no_class_keeps_is_a_finding(twin):
    done = twin("check-controller", "twin.control.rules:SelfConsumption", "--limit-ms", "1e-6", "--json")
    assert done.returncode == 1
    failed = [check["id"] for check in json.loads(done.stdout)["checks"] if check["outcome"] == "fail"]
    assert failed == ["speed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.py:Sond"], "did you mean 'Sound'"),
        (["nowhere.py:Mine"], "there is no file"),
        (["selfconsumption"], "did you mean 'self_consumption'"),
        (["peak_shaving"], "parameter 'limit_kw' is missing"),
        (["mine.py:Sound", "--param", "share"], "--param share: must be KEY=VALUE"),
        (["mine.py:Sound", "--param", "share=[1"], "the value cannot be read"),
        (["mine.py:Sound", "--param", "shar=1"], "did you mean 'share'"),
        (["mine.py:Sound", "--param", "share=2"], "Sound(share=2): share must be at most 1"),
        (["mine.py:Sound", "--scenario", "none.yaml"], "none.yaml"),
        (["mine.py:Sound", "--limit-ms", "0"], "--limit-ms"),
        (["mine.py:Sound", "--limit-ms", "-3"], "--limit-ms"),
        (["mine.py:Sound", "--limit-ms", "nan"], "--limit-ms"),
    ],
)
def test_what_cannot_be_checked_leaves_with_2_and_one_line(arguments, words, mine, twin):
    done = twin("check-controller", *arguments, cwd=mine)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
