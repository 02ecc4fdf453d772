"""Which lines are open and which buses are held, on a network with open ties."""

import numpy as np

from models.feeder import load_feeder


def test_the_open_ties_of_the_cigre_network_are_open():
    feeder = load_feeder("pandapower:create_cigre_network_mv")
    net = feeder.net
    switches = net.switch[(net.switch.et == "l") & ~net.switch.closed]
    expected = {str(net.line.name.at[row]) for row in switches.element}
    assert {
        name for name, is_open in zip(feeder.line_name, feeder.line_is_open, strict=True) if is_open
    } == expected
    assert len(expected) == 3


def test_held_and_free_buses_are_all_buses():
    feeder = load_feeder("pandapower:create_cigre_network_mv")
    assert len(feeder.held_buses) == 1
    both = np.sort(np.concatenate([feeder.held_buses, feeder.free_buses]))
    assert np.array_equal(both, np.arange(len(feeder.bus_name)))
