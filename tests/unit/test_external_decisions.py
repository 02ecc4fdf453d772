"""What is in force in emulated devices, as a proposal for the whole plant."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside_homes import observation, site

from twin.control.checks import checked
from twin.control.rules import NoControl, SelfConsumption
from twin.external.decisions import OwnControl, proposal_of
from twin.external.emulated import Command
from twin.external.slots import Wanted, slots_of

SITE = site()
WANTED = Wanted(
    home="ours",
    maps={"our car": "generic_charger"},
    port=0,
    ports={},
    units={},
    rated_kw={"our car": 11.0},
    faults={},
)
SLOTS = slots_of(SITE, WANTED)
OURS, NEXT = 1, 0
"""Positions of the batteries; those of PV are 1 for ours and 0 and 2 for the neighbour's."""


def proposal(*, takes_surplus=False, others=NoControl, **commands):
    named = {name.replace("_", " "): command for name, command in commands.items()}
    own = OwnControl(others=others(SITE), takes_surplus=takes_surplus)
    return checked(proposal_of(observation(), named, site=SITE, slots=SLOTS, own=own), SITE)


@pytest.mark.parametrize(
    ("command", "expected_kw"),
    [
        (Command(p_set_kw=2.5), 2.5),
        (Command(p_set_kw=-3.0), -3.0),
        (Command(p_set_kw=-3.0, p_limit_kw=1.0), -1.0),
        (Command(p_set_kw=3.0, p_limit_kw=1.0), 3.0),
        (Command(p_limit_kw=1.0), 0.0),
        (Command(), 0.0),
    ],
    ids=["charges", "discharges", "limit of feed-in", "limit leaves charging", "limit alone", "rests"],
)
def test_a_battery_does_what_is_in_force(command, expected_kw):
    assert proposal(battery=command).battery_kw == pytest.approx([0.0, expected_kw])


@pytest.mark.parametrize(
    ("command", "expected_kw"),
    [
        (Command(p_limit_kw=2.0), 2.0),
        (Command(p_limit_kw=0.0), 0.0),
        (Command(p_set_kw=-1.5), 1.5),
        (Command(p_set_kw=-1.5, p_limit_kw=1.0), 1.0),
        (Command(p_set_kw=1.0), 0.0),
        (Command(), np.inf),
    ],
    ids=["limit", "no feed-in", "set-point", "the tighter", "an inverter does not draw", "released"],
)
def test_a_pv_inverter_feeds_in_no_more_than_is_in_force(command, expected_kw):
    assert list(proposal(pv=command).pv_limit_kw) == [np.inf, expected_kw, np.inf]


def test_an_appliance_takes_the_tighter_of_set_point_and_limit():
    assert list(proposal(our_car=Command(p_set_kw=7.0, p_limit_kw=4.0)).appliance_kw) == [4.0]
    assert list(proposal().appliance_kw) == [np.inf]


def test_without_a_command_a_battery_may_take_the_surplus_of_its_home():
    assert proposal(takes_surplus=True).battery_kw == pytest.approx([0.0, 3.0])
    held_back = proposal(takes_surplus=True, pv=Command(p_limit_kw=2.0))
    assert held_back.battery_kw == pytest.approx([0.0, 1.0]), "only what the limit leaves of the sun"


def test_other_homes_do_what_is_said_for_them():
    both = proposal(others=SelfConsumption, battery=Command(p_set_kw=-2.0))
    assert both.battery_kw == pytest.approx([-1.0, -2.0])


POWER = st.none() | st.floats(-20.0, 20.0)
LIMIT = st.none() | st.floats(0.0, 20.0)


@settings(deadline=None)
@given(
    battery=st.builds(Command, p_set_kw=POWER, p_limit_kw=LIMIT),
    pv=st.builds(Command, p_set_kw=POWER, p_limit_kw=LIMIT),
)
def test_whatever_is_in_force_is_a_valid_proposal_within_the_limits(battery, pv):
    asked = proposal(battery=battery, pv=pv)
    if battery.p_limit_kw is not None:
        assert asked.battery_kw[OURS] >= -battery.p_limit_kw
    if pv.p_limit_kw is not None:
        assert asked.pv_limit_kw[1] <= pv.p_limit_kw
    assert asked.battery_kw[NEXT] == 0.0
