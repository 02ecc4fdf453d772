"""Which devices of a home are emulated where, and what is refused before a run."""

from dataclasses import replace

import numpy as np
import pytest
from outside_homes import observation, site

from twin.control.registry import make_controller, resolve
from twin.errors import ControllerError, InputError
from twin.external.controller import External
from twin.external.slots import Role, Wanted, slots_of


def wanted(**changed):
    given = {
        "home": "ours",
        "maps": {},
        "port": 0,
        "ports": {},
        "units": {},
        "rated_kw": {},
        "faults": {},
    } | changed
    return Wanted(**given)


def test_meter_pv_and_battery_of_a_home_share_a_port_with_a_unit_each():
    slots = slots_of(site(), wanted())
    assert [(slot.name, slot.role, slot.position, slot.unit, slot.port) for slot in slots] == [
        ("meter", Role.METER, 0, 1, 0),
        ("pv", Role.PV, 1, 2, 0),
        ("battery", Role.BATTERY, 1, 3, 0),
    ]
    assert [slot.map for slot in slots] == ["sunspec_meter", "sunspec_pv", "sunspec_battery"]
    assert slots[1].nameplate["p_rated_kw"] == 6.0
    assert slots[2].nameplate == {"charge_kw": 5.0, "discharge_kw": 4.0, "capacity_kwh": 10.0}


def test_several_devices_of_a_kind_are_numbered():
    slots = slots_of(site(), wanted(home="next", units={"pv-2": 9}))
    assert [(slot.name, slot.position, slot.unit) for slot in slots] == [
        ("meter", 1, 1), ("pv-1", 0, 2), ("pv-2", 2, 9), ("battery", 0, 4),
    ]  # fmt: skip


def test_an_appliance_is_emulated_where_it_has_a_map():
    slots = slots_of(
        site(), wanted(maps={"our car": "generic_charger", "pv": "none"}, rated_kw={"our car": 11})
    )
    assert [slot.name for slot in slots] == ["meter", "battery", "our car"]
    assert slots[2].nameplate == {"p_rated_kw": 11.0}


def test_the_registers_of_the_meter_have_room_for_all_devices_at_once_and_loads():
    meter = slots_of(site(), wanted())[0]
    assert meter.nameplate["p_rated_kw"] == 25.0 + 5.0 + 6.0
    assert slots_of(site(), wanted(rated_kw={"meter": 60}))[0].nameplate["p_rated_kw"] == 60.0


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"home": "oars"}, r"no home 'oars', did you mean 'ours'\?"),
        ({"maps": {"pvs": "x"}}, r"maps: the home has no device 'pvs', did you mean 'pv'\?"),
        ({"maps": {"pv": "sunspec_battery"}}, r"emulated pv: map sunspec_battery is of kind battery"),
        ({"maps": {"pv": "sunspec_p"}}, r"emulated pv: there is no register map 'sunspec_p'"),
        ({"maps": {"our car": "generic_charger"}}, r"rated_kw: 'our car' has none"),
        ({"maps": {"pv": "none", "battery": "none"}}, r"nothing is left to control"),
        ({"maps": ["pv"]}, r"maps: must be a mapping"),
        ({"units": {"pv": 1}}, r"meter and pv have port 0 and unit 1"),
        ({"units": {"pv": 0}}, r"units: must be a whole number from 1 to 247"),
        ({"ports": {"pv": 70000}}, r"ports: must be a whole number from 0 to 65535"),
        ({"port": True}, r"ports: must be a whole number"),
        ({"rated_kw": {"meter": -1}}, r"rated_kw: meter: must be a number above 0"),
        ({"faults": {"pv": {"fault": "late"}}}, r"faults: pv: must be a file or a list of rules"),
        ({"faults": {"pv": [{"fault": "lat"}]}}, r"emulated pv: faults: rules\.0\.fault"),
        (
            {"faults": {"pv": [{"fault": "late"}]}, "port": 5020},
            r"faults: pv shares port 5020 with meter, battery; give it its own",
        ),
        ({"host": "0.0.0.0"}, r"0\.0\.0\.0 can be reached from other machines"),  # noqa: S104 - must be refused
        ({"allow": ["lab"]}, r"allow: 'lab' is not an address"),
        ({"timeout_s": -1}, r"timeout_s: must be a number of seconds"),
        ({"connect_s": float("inf")}, r"connect_s: must be a number of seconds"),
        ({"others": "mpc"}, r"others: must be one of none, self_consumption"),
        ({"without_command": "panic"}, r"without_command: must be one of"),
        ({"hosts": "x"}, r"parameter 'hosts' is not known, did you mean 'host'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_refused_before_the_run(params, text, tmp_path):
    with pytest.raises(InputError, match=text):
        make_controller(resolve("external", tmp_path), site(), {"home": "ours"} | params)


def test_a_home_without_what_a_map_is_for_is_refused():
    bare = replace(site(), battery_home=np.array([1, 1]))
    with pytest.raises(ValueError, match=r"maps: 'ours' has no battery; remove the entry"):
        slots_of(bare, wanted(maps={"battery": "sunspec_battery"}))


def test_outside_of_a_run_in_real_time_nobody_decides():
    with pytest.raises(ControllerError, match=r"lives in real time, with an EMS outside"):
        External(site(), home="ours").decide(observation())
