"""Entries on the wire become slots: what the run must start, what one of N devices is, and what does not fit a map."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from block_plants import HEAD, Build, Mistakes, Shelf, only
from hil_entries import (
    BATTERY_ENTRY,
    HEATER_ENTRY,
    PV_ENTRY,
    ScriptedGuardian,
    heater_map,
    only_slot,
    written,
)
from tiny_fmus import Var, build_fmu

from hil_adapters.guard.messages import Limits, TlsFiles
from hil_adapters.wire.base import Parity, RtuOverTcpTarget, SerialTarget, TcpTarget
from models.devices.pv_inverter import KIND as PV_INVERTER
from models.errors import DeviceError
from twin.errors import ScenarioError
from twin.hil import WireSlope
from twin.missing_data import SignalPolicy, Then
from twin.plant import Plant
from twin.signals import Axis
from twin.simulators.blocks import beside, open_blocks
from twin.simulators.exchange import HilExchange
from twin.virtual.config import VirtualDeviceConfig
from twin.virtual.physics import open_physics


def test_a_real_device_has_its_address_limits_and_serial_number(build: Build) -> None:
    slot = only_slot(
        build(written(BATTERY_ENTRY, "hardware", ", port: 1502, unit: 7, missing: {p_kw: {then: stop}}"))
    )
    assert (slot.name, slot.label, slot.is_hardware) == ("store", "devices[1] store", True)
    assert (slot.target, slot.unit, slot.serial) == (TcpTarget(host="10.0.0.2", port=1502), 7, "A1")
    assert slot.limits == {"p_set_kw": Limits(low=-2.0, high=2.0)}
    assert (slot.commands, slot.needed) == (("p_set_kw",), ("p_kw", "soc"))
    assert slot.signals == {
        "p_kw": SignalPolicy(fresh_s=1.5, hold_s=10.0, then=Then.STOP),
        "soc": SignalPolicy(fresh_s=15.0, hold_s=60.0, then=Then.MODEL),
    }
    assert not slot.sees_voltage
    config = slot.device_config()
    assert (config.emulated, config.serial, config.map_file.name) == (False, "A1", "sunspec_battery.yaml")


def test_a_virtual_device_is_known_by_the_port_of_its_host(build: Build) -> None:
    slot = only_slot(build(written(BATTERY_ENTRY, "virtual")))
    assert (slot.target, slot.serial, slot.sees_voltage) == (None, None, True)
    config = slot.device_config(20502)
    assert (config.target, config.emulated, config.serial) == (
        TcpTarget(host="127.0.0.1", port=20502),
        True,
        None,
    )
    with pytest.raises(ValueError, match="port of the virtual device 'store' is not known"):
        slot.device_config()


def test_the_host_takes_what_a_slot_says_of_its_inside(build: Build, tmp_path: Path) -> None:
    heater_map(tmp_path)
    entries = (
        written(BATTERY_ENTRY, "virtual")
        + written(PV_ENTRY, "virtual", ", protection: true")
        + written(HEATER_ENTRY, "virtual")
    )
    slots = build(entries.replace("COMMAND", "p_limit_kw")).hil.virtual
    configs = [VirtualDeviceConfig.model_validate(slot.host_config()) for slot in slots]
    assert [config.physics.kind for config in configs] == ["battery", "pv_inverter", "water_heater"]
    assert len({config.serial for config in configs}) == 3, "no two devices share a serial number"
    assert configs[1].protection is not None
    assert configs[1].physics.parameters.keys() == {
        entry.name for entry in PV_INVERTER.variables if entry.causality == "parameter"
    }
    assert configs[1].physics.inputs == {"vm_pu": 1.0, "p_available_kw": -30.0}, "it runs when the run begins"
    assert configs[2].physics.inputs["temp_room_degc"] == 20.0


def test_real_devices_are_served_by_no_host(build: Build) -> None:
    plant = build(written(BATTERY_ENTRY, "hardware"))
    assert (plant.hil.virtual, len(plant.hil.hardware)) == ((), 1)
    with pytest.raises(ValueError, match="no host serves it"):
        plant.hil.slots[0].host_config()


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("line: {path: /dev/ttyUSB0, baudrate: 9600, parity: none, stopbits: 2}", "serial"),
        ("host: 10.0.0.9, port: 4001, rtu_over_tcp: true", "rtu over tcp"),
        ("host: 10.0.0.9", "default port"),
    ],
)
def test_every_way_to_a_device_becomes_its_target(build: Build, where: str, target: str) -> None:
    slot = only_slot(build(written(BATTERY_ENTRY, "hardware").replace("host: 10.0.0.2", where)))
    assert (
        slot.target
        == {
            "serial": SerialTarget(path="/dev/ttyUSB0", baudrate=9600, parity=Parity.NONE, stopbits=2),
            "rtu over tcp": RtuOverTcpTarget(host="10.0.0.9", port=4001),
            "default port": TcpTarget(host="10.0.0.9", port=502),
        }[target]
    )


def test_certificates_and_reports_are_found_beside_the_scenario(build: Build, tmp_path: Path) -> None:
    for name in ("ca.pem", "us.pem", "us.key"):
        (tmp_path / name).write_text("")
    (tmp_path / "check.json").write_text(json.dumps({"slope_kw_v": 0.25}))
    files = ", tls: {authority: ca.pem, certificate: us.pem, key: us.key}, acceptance: check.json"
    slot = only_slot(build(written(BATTERY_ENTRY, "hardware", files)))
    assert slot.tls == TlsFiles(
        authority=tmp_path / "ca.pem", certificate=tmp_path / "us.pem", key=tmp_path / "us.key"
    )
    assert slot.acceptance_file == tmp_path / "check.json"
    assert slot.slope == WireSlope(p_kw_v=0.25)
    assert slot.device_config().tls == slot.tls


def test_one_of_ten_devices_has_a_tenth_of_all_that_grows_with_their_number(
    build: Build, tmp_path: Path
) -> None:
    heater_map(tmp_path)
    entries = written(BATTERY_ENTRY, "virtual", ", stands_for: 10") + written(
        HEATER_ENTRY, "virtual", ", stands_for: 10"
    )
    store, tank = build(entries.replace("COMMAND", "p_limit_kw")).hil.slots
    assert store.emulated is not None
    assert tank.emulated is not None
    inside = store.emulated.parameters
    assert [inside[name] for name in ("capacity_kwh", "charge_kw", "discharge_kw")] == pytest.approx(
        [1.2, 0.6, 0.4]
    )
    assert (inside["eta_charge"], inside["soc_max"]) == (0.95, 0.95)
    heater = tank.emulated.parameters
    assert [heater[name] for name in ("volume_l", "p_rated_kw", "loss_kw_k")] == pytest.approx(
        [30.0, 0.15, 1.5e-4]
    )
    assert (heater["temp_set_degc"], heater["cop_a"]) == (53.0, 6.81)


def test_the_model_beside_is_that_of_all_devices(build: Build) -> None:
    plan = only(build(written(BATTERY_ENTRY, "virtual", ", stands_for: 10")))
    block = plan.open()
    assert block.outputs == ("p_kw", "soc")
    found = block.step(np.array([[6.0], [20.0]]), time_s=0.0, dt_s=60.0)
    assert found[0].tolist() == [6.0]


def test_a_share_of_homes_gets_a_server_each(build: Build) -> None:
    plant = build(
        "  - {kind: battery, share: 50 %, capacity_kwh: 5, power_kw: 2, as: virtual, modbus: {map: sunspec_battery}}\n"
    )
    plan = only(plant)
    assert plan.wire is not None
    assert [slot.name for slot in plan.wire.slots] == list(plant.battery_name)
    assert len(plan.wire.slots) > 1
    assert plan.axis is Axis.BATTERY


def test_a_heater_is_commanded_by_what_its_map_has_and_tells_what_its_map_reads(
    build: Build, tmp_path: Path
) -> None:
    for command in ("p_limit_kw", "p_set_kw"):
        heater_map(tmp_path, command)
        plan = only(build(written(HEATER_ENTRY, "virtual").replace("COMMAND", command)))
        assert plan.wire is not None
        assert plan.wire.slots[0].commands == (command,)
        assert command in plan.wire.inputs
        assert plan.wire.signals == ("p_kw", "temp_top_degc")
        assert plan.record[0] == ("temp_top_degc", "degC")
        assert plan.record[1:] == plan.wire.told
        assert plan.unmet is None, "a heater on the wire does not say what it lacks"
        offline = only(build(written(HEATER_ENTRY, "model").replace("COMMAND", command)))
        assert offline.record == plan.wire.record_beside


@pytest.mark.parametrize("word", ["model", "fmu"])
@pytest.mark.parametrize("entry", [BATTERY_ENTRY, PV_ENTRY, HEATER_ENTRY])
def test_offline_the_block_changes_nothing(build: Build, tmp_path: Path, word: str, entry: str) -> None:
    """The register map of the heater is not even there."""
    del tmp_path
    with_block = written(entry, word, ", stands_for: 10, protection: true").replace("COMMAND", "p_limit_kw")
    without = with_block[: with_block.index(",\n     modbus:")] + "}\n"
    left, right = build(with_block), build(without)
    assert not left.hil
    assert [plan.wire for plan in left.blocks] == [None] * len(right.blocks)
    for field in dataclasses.fields(Plant):
        if field.name not in {"blocks", "market", "tariff", "communities"}:
            np.testing.assert_equal(_plain(getattr(left, field.name)), _plain(getattr(right, field.name)))
    assert left.market.assumed == right.market.assumed
    for ours, theirs in zip(left.blocks, right.blocks, strict=True):
        assert (ours.record, ours.unmet, ours.origin, ours.label) == (
            theirs.record,
            theirs.unmet,
            theirs.origin,
            theirs.label,
        )
        np.testing.assert_equal(dict(ours.series), dict(theirs.series))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    return value


@pytest.mark.parametrize(
    ("entry", "field", "text"),
    [
        (
            written(BATTERY_ENTRY, "virtual").replace("sunspec_battery", "no_such"),
            ".modbus.map",
            "no register map",
        ),
        (
            written(BATTERY_ENTRY, "virtual").replace("sunspec_battery", "sunspec_pv"),
            ".modbus.map",
            "does not read soc",
        ),
        (written(PV_ENTRY, "virtual").replace("sunspec_pv", "broken.yaml"), ".modbus.map", "broken.yaml"),
        (
            written(PV_ENTRY, "virtual", ", missing: {soc: {then: stop}}"),
            ".modbus.missing.soc",
            "does not read 'soc' here",
        ),
        (
            written(PV_ENTRY, "virtual").replace("p_limit_kw: {min", "p_limit: {min"),
            ".modbus.limits.p_limit",
            "did you mean 'p_limit_kw'?",
        ),
        (
            written(PV_ENTRY, "hardware").replace("p_limit_kw: {min", "frequency_hz: {min"),
            ".modbus",
            "limits are missing",
        ),
        (
            written(BATTERY_ENTRY, "virtual").replace(
                "max: 2}", "max: 2}, soc: {min: 0.1, max: 0.9, ramp: 1}"
            ),
            ".modbus.limits.soc.ramp",
            "goes with commands",
        ),
        (
            written(PV_ENTRY, "virtual", ", protection: {overvoltage: {limit: -1, delay_s: 1}}"),
            ".modbus.protection.overvoltage.limit",
            "greater than 0",
        ),
        (written(PV_ENTRY, "virtual", ", faults: [{fault: no_such}]"), ".modbus.faults", "rules.0.fault"),
        (written(PV_ENTRY, "virtual", ", acceptance: bad.json"), ".modbus.acceptance", "cannot be read"),
        (written(PV_ENTRY, "virtual", ", acceptance: odd.json"), ".modbus.acceptance", "is no number"),
    ],
)
def test_what_does_not_fit_is_told_at_its_place(
    mistakes: Mistakes, tmp_path: Path, entry: str, field: str, text: str
) -> None:
    (tmp_path / "broken.yaml").write_text("format: 1\nname: broken\n")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "odd.json").write_text('{"slope_kw_v": "steep"}')
    found = mistakes(entry)
    message = next(
        (message for where, message in found if where == f"devices[1]{field}" and text in message), None
    )
    assert message is not None, found
    assert len(found) == (3 if "sunspec_pv" in entry and "kind: battery" in entry else 1)


class Blocked:
    """An importer that has none of the packages of the extra ``hil``."""

    packages = ("serial", "sunspec2", "cryptography")

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        del path, target
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def block_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] in Blocked.packages]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Blocked(), *sys.meta_path])


@pytest.mark.parametrize(
    ("entry", "needed"),
    [
        (written(PV_ENTRY, "virtual"), "pyserial and pysunspec2"),
        (written(BATTERY_ENTRY, "hardware"), "pyserial and pysunspec2"),
        (
            written(BATTERY_ENTRY, "hardware", ", tls: {authority: a.pem, certificate: c.pem, key: k.pem}"),
            "pyserial and pysunspec2 and cryptography",
        ),
    ],
    ids=["virtual SunSpec device", "real SunSpec device", "real device with certificates"],
)
def test_without_the_extra_of_hardware_a_device_on_the_wire_says_which_extra_to_install(
    mistakes: Mistakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, needed: str
) -> None:
    for name in ("a.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_text("")
    block_the_extra(monkeypatch)
    [(where, message)] = mistakes(entry)
    assert where == "devices[1]"
    assert f'need {needed}; install it with: pip install "gemello[hil]"' in message


def test_without_the_extra_of_hardware_the_same_device_runs_offline(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    block_the_extra(monkeypatch)
    assert not build(written(PV_ENTRY, "model")).hil


def test_two_entries_cannot_mean_one_real_device(shelf: Shelf) -> None:
    other = written(BATTERY_ENTRY, "hardware").replace("store", "other").replace("Load R11", "Load R15")
    for second in (other.replace("10.0.0.2", "10.0.0.8"), other.replace("serial: A1", "serial: A2")):
        with pytest.raises(ScenarioError, match="a real device has one entry"):
            shelf.plant(written(BATTERY_ENTRY, "hardware") + second)
    assert len(shelf.plant(written(BATTERY_ENTRY, "virtual") + other).hil.slots) == 2


def test_a_device_without_a_command_is_read_and_a_note_says_so(build: Build, tmp_path: Path) -> None:
    text = heater_map(tmp_path).read_text()
    (tmp_path / "heater.yaml").write_text(text[: text.index("commands:")])
    entry = written(HEATER_ENTRY, "virtual").replace(", limits: {COMMAND: {min: 0, max: 2}}", "")
    plant = build(entry)
    assert only_slot(plant).commands == ()
    assert any("has no command that a strategy could use" in note for note in plant.market.assumed)
    plan = only(plant)
    assert plan.wire is not None
    assert [name for name, _ in plan.wire.told] == ["age_s", "quality"]


def test_devices_on_the_wire_need_an_exchange_and_their_models_do_not(build: Build) -> None:
    plant = build(written(BATTERY_ENTRY, "virtual") + written(PV_ENTRY, "virtual"))
    with pytest.raises(DeviceError, match="need real time"), open_blocks(plant):
        pass
    with open_blocks(beside(plant)) as blocks:
        assert [stepper.block.outputs for stepper in blocks.on(Axis.PV, Axis.BATTERY)] == [
            ("p_kw", "soc"),
            ("p_kw", "q_kvar"),
        ]
    guardian = ScriptedGuardian()
    guardian.reads_now("store", 0.0, p_kw=0.5, soc=0.7)
    guardian.reads_now("roof", 0.0, p_kw=-3.0, q_kvar=1.0)
    exchange = HilExchange(plant.hil, guardian, expires_s=1.0, clock=lambda: 0.5)
    with open_blocks(plant, exchange) as blocks:
        (store,) = blocks.on(Axis.BATTERY)
        assert store.output("soc").tolist() == [0.7]


def test_the_word_changes_who_answers_and_nothing_that_others_see(build: Build) -> None:
    plants = [
        build(written(BATTERY_ENTRY, word) + written(PV_ENTRY, word))
        for word in ("fmu", "virtual", "hardware")
    ]
    for plant in plants[1:]:
        for field in ("battery_name", "battery_home", "pv_name", "pv_home", "home_name", "load_name"):
            np.testing.assert_equal(getattr(plant, field), getattr(plants[0], field))
        np.testing.assert_equal(plant.battery.capacity_kwh, plants[0].battery.capacity_kwh)
        np.testing.assert_equal(plant.pv_inverter.s_rated_kva, plants[0].pv_inverter.s_rated_kva)
        assert [plan.axis for plan in plant.blocks] == [plan.axis for plan in plants[0].blocks]


def test_a_faster_poll_makes_readings_live_for_less_time(shelf: Shelf) -> None:
    plant = shelf.plant(written(BATTERY_ENTRY, "virtual"), head="live: {poll: 200 ms}\n" + HEAD)
    assert only_slot(plant).signals["p_kw"].fresh_s == pytest.approx(0.6)
    assert only_slot(plant).signals["soc"].fresh_s == pytest.approx(6.0)


def test_a_device_that_wants_pauses_between_requests_is_live_for_longer(build: Build, tmp_path: Path) -> None:
    text = (
        heater_map(tmp_path)
        .read_text()
        .replace("points:", "link: {min_interval_s: 2, max_registers: 2}\npoints:", 1)
    )
    (tmp_path / "heater.yaml").write_text(text)
    policy = only_slot(build(written(HEATER_ENTRY, "virtual").replace("COMMAND", "p_limit_kw"))).signals[
        "p_kw"
    ]
    assert policy.fresh_s == 18.0, "three reads of two seconds make a period of six"
    assert policy.hold_s == 18.0


def test_an_fmu_of_the_user_is_inside_a_virtual_device_and_beside_it(build: Build, tmp_path: Path) -> None:
    built = build_fmu(
        tmp_path,
        name="oven",
        inputs=(Var("V", "input", start=230.0, unit="V"), Var("most", "input", start=1e9, unit="W")),
        outputs=(Var("P", "output", unit="W"),),
        parameters={"gain": 10.0},
        step_code="P = gain * (V - 100) < most ? gain * (V - 100) : most;",
        init_code="P = 0;",
    )
    heater_map(tmp_path)
    block = (
        "fmu: {file: oven.fmu, inputs: {V: v_v, most: p_limit_kw}, outputs: {p_kw: P}, parameters: {gain: 5}}"
    )
    assert built == tmp_path / "oven.fmu"
    entry = f"  - {{kind: water_heater, home: Load R1, name: oven, as: virtual, modbus: {{map: heater.yaml}}, {block}}}\n"
    plan = only(build(entry))
    assert plan.wire is not None
    assert plan.wire.signals == ("p_kw",)
    assert set(plan.wire.inputs) == {"v_v", "p_limit_kw", "vm_pu"}
    model = plan.open()
    try:
        given = {"v_v": 230.0, "p_limit_kw": 1e9}
        column = np.array([[given[name]] for name in model.inputs])
        assert model.step(column, time_s=0.0, dt_s=60.0).tolist() == [[0.65]]
    finally:
        model.close()
    config = VirtualDeviceConfig.model_validate(plan.wire.slots[0].host_config())
    inside = open_physics(config.physics, label="oven")
    try:
        assert inside.step({}, {"v_v": 200.0, "vm_pu": 0.87, "step_s": 60.0}, dt_s=0.1)["p_kw"] == 0.5
        assert inside.step({"p_limit_kw": 0.2}, {"v_v": 200.0}, dt_s=0.1)["p_kw"] == 0.2
    finally:
        inside.close()
