"""The guide of virtual devices says what the program does."""

import re
import shlex
from pathlib import Path

import pytest

from hil_adapters.errors import MapError
from hil_adapters.virtual.plate import Plate
from hil_adapters.virtual.protection import ProtectionSettings
from hil_adapters.virtual.state import DeviceState
from hil_adapters.virtual.sunspec_ratings import model_specs
from twin.virtual.standalone import Wanted, standalone_config

GUIDE = (Path(__file__).parents[2] / "docs/virtual_devices.md").read_text(encoding="utf-8")
PROTECTION = GUIDE.partition("## Interface protection")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (`.+?`) \| .+? \| (.+?) \|(?: (.+?) \|)?$", PROTECTION, re.MULTILINE)


def test_the_tables_hold_every_parameter_of_the_protection_with_its_value() -> None:
    defaults = ProtectionSettings().model_dump()
    told: dict[str, object] = {}
    for names, value, after in ROWS:
        numbers = [float(number) for number in re.findall(r"[\d.]+", value)]
        for name, number in zip(re.findall(r"`(\w+)`", names), numbers, strict=True):
            told[name] = {"limit": number, "delay_s": float(after.split()[0])} if after else number
    rest = {"narrow_frequency": False, "mean_window_s": 600.0}
    assert told | rest == defaults


def test_the_models_named_are_the_models_emulated() -> None:
    (line,) = re.findall(r"Emulated SunSpec models: ([\d, ]+)\.", GUIDE)
    named = [int(number) for number in line.split(",")]
    plate = Plate(p_rated_kw=10.0, s_rated_kva=10.0, charge_kw=5.0, discharge_kw=5.0, capacity_kwh=10.0)
    assert [spec.model for spec in model_specs(named, plate, DeviceState())] == named
    with pytest.raises(MapError) as refused:
        model_specs([9999], plate, DeviceState())
    assert [int(number) for number in re.findall(r"\d+", str(refused.value).partition("among")[2])] == named


def test_the_command_shown_makes_a_device() -> None:
    (line,) = re.findall(r"^twin device serve .+$", GUIDE, re.MULTILINE)
    words = shlex.split(line)[3:]
    settings = [value for flag, value in zip(words[1::2], words[2::2], strict=True) if flag == "--set"]
    device = standalone_config(Wanted(map=words[0], settings=settings)).devices[0]
    assert device.physics.parameters == {"p_rated_kw": 6.0, "s_rated_kva": 6.0}
    assert device.physics.inputs == {"p_available_kw": -4.0}
