"""What is accepted as a proposal."""

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control import Proposal, Site, checked
from twin.errors import ControllerError


@pytest.fixture
def site():
    two = np.ones(2)
    return Site(
        dt_s=900,
        n_steps=96,
        steps_per_day=96,
        home_name=("first", "second"),
        pv_home=np.array([1]),
        pv_rated_kw=np.array([4.0]),
        battery_home=np.array([0, 1]),
        battery=BatteryFleet(
            capacity_kwh=10 * two,
            charge_kw=5 * two,
            discharge_kw=5 * two,
            eta_charge=two,
            eta_discharge=two,
            soc_min=0 * two,
            soc_max=two,
            loss_per_day=0 * two,
        ),
    )


def test_a_good_proposal_passes_as_floats(site):
    proposal = checked(Proposal(battery_kw=np.array([1, -2]), pv_limit_kw=np.array([np.inf])), site)
    assert proposal.battery_kw.dtype == np.float64
    assert proposal.battery_kw.tolist() == [1.0, -2.0]
    assert proposal.pv_limit_kw is not None
    assert proposal.pv_limit_kw.tolist() == [np.inf]


@pytest.mark.parametrize(
    ("proposal", "message"),
    [
        (None, "returned NoneType, not a Proposal; return Proposal"),
        (Proposal(battery_kw=np.zeros(3)), r"battery_kw: shape \(3,\), expected \(2,\)"),
        (Proposal(battery_kw=np.zeros((2, 1))), r"battery_kw: shape \(2, 1\), expected \(2,\)"),
        (
            Proposal(battery_kw=np.array([0.0, np.nan])),
            r"battery_kw\[1\] = nan for battery 1 at home 'second' \(1 of 2 are wrong\): values must be finite",
        ),
        (
            Proposal(battery_kw=np.array([np.inf, 0.0])),
            r"battery_kw\[0\] = inf for battery 0 at home 'first'",
        ),
        (Proposal(battery_kw=np.array(["a", "b"])), "battery_kw: not an array of numbers"),
        (
            Proposal(battery_kw=np.zeros(2), pv_limit_kw=np.zeros(2)),
            r"pv_limit_kw: shape \(2,\), expected \(1,\)",
        ),
        (
            Proposal(battery_kw=np.zeros(2), pv_limit_kw=np.array([-1.0])),
            r"pv_limit_kw\[0\] = -1 for PV generator 0 at home 'second'.* at least 0, or inf",
        ),
        (Proposal(battery_kw=np.zeros(2), pv_limit_kw=np.array([np.nan])), r"pv_limit_kw\[0\] = nan"),
    ],
)
def test_a_bad_proposal_is_refused_with_what_where_and_remedy(site, proposal, message):
    with pytest.raises(ControllerError, match=message):
        checked(proposal, site)
