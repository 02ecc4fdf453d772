"""The guide for a lab says what the program does: commands, options and the scenario in it are real."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outside_homes import observation, site
from typer.main import get_command

from twin.cli import app
from twin.control.registry import make_controller, resolve
from twin.scenario import load_scenario

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/hardware.md").read_text()
README = (ROOT / "README.md").read_text()
SCENARIO = """
name: lab
feeder: {{source: "pandapower:create_cigre_network_lv"}}
period: {{start: 2026-06-20T12:00, duration_s: 20, step_s: 1 s}}
{}
"""


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every line of a shell block that calls the program, without comments."""
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.split(" > ")[0], comments=True)
            if words[:1] == ["twin"]:
                yield words[1:]


def known(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the first words name, and the words after it."""
    command: Any = get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("text", [GUIDE, README], ids=["guide", "README"])
def test_every_command_and_option_exists(text: str) -> None:
    found = list(commands(text))
    assert len(found) > 10
    for words in found:
        command, rest = known(words)
        assert not hasattr(command, "commands"), f"twin {' '.join(words)}: no such command"
        options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        asked = {word for word in rest if word.startswith("--")}
        assert asked <= options, f"twin {' '.join(words)}"


@pytest.mark.parametrize("name", ["scan", "read", "watch", "discover", "check", "serve", "proxy", "maps"])
def test_every_command_for_a_device_is_in_the_guide(name: str) -> None:
    assert set(known(["device"])[0].commands) == {
        "scan",
        "read",
        "watch",
        "discover",
        "check",
        "serve",
        "proxy",
        "maps",
    }
    assert f"twin device {name}" in GUIDE


@pytest.mark.parametrize("word", ["hardware", "virtual", "model"])
def test_the_entry_of_the_guide_loads_with_each_of_its_words(word: str, tmp_path: Path) -> None:
    (block,) = (block for block in re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL) if "as:" in block)
    path = tmp_path / "lab.yaml"
    (tmp_path / "roof_check.json").write_text("{}")  # whether it holds is asked when the device is armed
    (tmp_path / "curtail.py").write_text("")
    path.write_text(SCENARIO.format(block.replace("as: hardware", f"as: {word}")))
    loaded = load_scenario(path)
    assert loaded.scenario.live.poll == 0.5
    assert [getattr(entry.spec, "as_", None) for entry in loaded.devices] == [word]


def test_the_strategy_of_the_guide_limits_inverters_to_what_its_scenario_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```(?:yaml|python)\n(.*?)```", GUIDE, flags=re.DOTALL)
    (entry,) = (block for block in blocks if "as:" in block)
    (code,) = (block for block in blocks if "class Curtail" in block)
    (tmp_path / "lab.yaml").write_text(SCENARIO.format(entry))
    (tmp_path / "curtail.py").write_text(code)
    (tmp_path / "roof_check.json").write_text("{}")
    (use,) = load_scenario(tmp_path / "lab.yaml").scenario.strategies.values()
    homes = site()
    wanted = make_controller(resolve(use.use, tmp_path), homes, use.params).decide(observation())
    assert wanted.pv_limit_kw is not None
    assert wanted.pv_limit_kw.tolist() == [3.0] * len(homes.pv_home)
