"""Connections are checked for what the two ends mean, not only for their names."""

import dataclasses

import pytest

from twin.errors import WiringError
from twin.signals import SIGNALS, Axis, Sign, signal
from twin.simulators.ports import Port, check_connection, ports
from twin.simulators.wiring import CONNECTIONS, check_wiring

SIZES = dict.fromkeys(Axis, 3)


class Core:
    def __init__(self, name, inputs, outputs):
        self.name, self.inputs, self.outputs, self.dt_s = name, inputs, outputs, 900

    def advance(self, step, values):
        raise NotImplementedError


def cores_of_the_table(dt_s=900):
    """Return cores with just the ports that the table connects."""
    names = {row.source for row in CONNECTIONS} | {row.target for row in CONNECTIONS}
    given = {
        name: tuple(dict.fromkeys(key for row in CONNECTIONS if row.source == name for key in row.keys))
        for name in names
    }
    taken = {
        name: tuple(dict.fromkeys(key for row in CONNECTIONS if row.target == name for key in row.keys))
        for name in names
    }
    return {
        name: Core(name, ports(taken[name], SIZES, dt_s), ports(given[name], SIZES, dt_s)) for name in names
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "MW"}, "unit differs .kW against MW."),
        ({"sign": Sign.DOWNWARD}, "sign differs"),
        ({"size": 4}, "number of values differs .3 against 4."),
        ({"dt_s": 60}, "time base differs .900 against 60."),
    ],
)
def test_a_connection_whose_ends_mean_different_things_is_refused(change, message):
    given = Port(name="load.p_kw", unit="kW", sign=Sign.CONSUMPTION, size=3, dt_s=900)
    with pytest.raises(WiringError, match=rf"exogenous\.load\.p_kw -> feeder\.load\.p_kw: {message}"):
        check_connection("exogenous", given, "feeder", dataclasses.replace(given, **change))


def test_the_table_fits_ports_made_from_the_vocabulary():
    check_wiring(cores_of_the_table())


def test_an_input_without_a_source_is_named():
    cores = cores_of_the_table()
    cores["feeder"].inputs += ports(("battery.soc",), SIZES, 900)
    with pytest.raises(WiringError, match=r"feeder\.battery\.soc: 0 sources"):
        check_wiring(cores)


def test_a_third_party_input_that_nothing_feeds_is_named():
    cores = cores_of_the_table()
    guest = Port(name="external.guest", unit="kW", sign=Sign.CONSUMPTION, size=1, dt_s=900)
    cores["exogenous"].inputs += (guest,)
    check_wiring(cores, ["external.guest"])
    with pytest.raises(WiringError, match=r"exogenous\.external\.guest: 0 sources"):
        check_wiring(cores)


def test_a_key_that_an_end_does_not_have_is_named():
    cores = cores_of_the_table()
    cores["recorder"].inputs = cores["recorder"].inputs[1:]
    with pytest.raises(WiringError, match="recorder has no such port"):
        check_wiring(cores)


def test_a_different_time_base_at_one_simulator_is_refused():
    cores = cores_of_the_table()
    cores["devices"] = cores_of_the_table(dt_s=60)["devices"]
    with pytest.raises(WiringError, match="time base"):
        check_wiring(cores)


def test_signal_names_carry_their_unit():
    endings = {
        "kW": "_kw", "kvar": "_kvar", "pu": "_pu", "%": "_percent", "kVA": "_kva", "EUR/kWh": "_eur_kwh",
    }  # fmt: skip
    for entry in SIGNALS.values():
        if entry.axis is Axis.STATE:
            assert entry.unit == "as named"
        elif entry.unit != "1":
            assert entry.name.endswith(endings[entry.unit]), entry.key


def test_an_unknown_signal_is_named_with_those_there_are():
    with pytest.raises(KeyError, match=r"no signal 'bus\.volts'.*bus\.vm_pu"):
        signal("bus.volts")


def test_controllers_see_the_feeder_one_step_late():
    delayed = {(row.source, row.target) for row in CONNECTIONS if row.delayed}
    back = {
        ("control", "exogenous"),
        ("devices", "control"),
        ("feeder", "control"),
        ("feeder", "devices"),
        ("feeder", "exogenous"),
        ("recorder", "exogenous"),
    }
    assert delayed == back
    order = ["exogenous", "control", "devices", "feeder", "recorder"]
    for row in CONNECTIONS:
        assert row.delayed == (order.index(row.source) > order.index(row.target))
