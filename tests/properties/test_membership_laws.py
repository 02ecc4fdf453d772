"""Laws of drawing members: nested, repeatable, disjoint, and never anyone who is not eligible."""

import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.feeder import load_feeder, supply_areas
from twin.assembly import build_plant
from twin.errors import ScenarioError
from twin.scenario import load_scenario

HEAD = """\
feeder: {source: "pandapower:cigre_mv", also: ["pandapower:cigre_lv"]}
period: {start: 2016-07-04, days: 1}
strategies: {none: }
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: pv, share: 40 %, p_peak_kw: 6, profile: constant}
  - {kind: pv, share: 50 %, match: "Load *[5-9]", prefix: large, p_peak_kw: 300, profile: constant}
  - {kind: pv, home: Load C14, name: other, p_peak_kw: 5, profile: constant}
  - {kind: pv, home: Load R10, name: third, p_peak_kw: 5, profile: constant}
"""
AREAS = ("Bus 1", "Bus 0 @2")
SEEDS = st.integers(0, 1000)
SHARES = st.integers(1, 100)


@cache
def feeder():
    return load_feeder("pandapower:cigre_mv", also=["pandapower:cigre_lv"])


def drawn(seed, members, *, area="Bus 0 @2", more=""):
    """Return the plant of a community with two named members, one with a plant, and draws."""
    named = {"Bus 0 @2": ("C12", "C13"), "Bus 1": ("R3", "R4")}[area]
    homes = "".join(f"{{home: Load {name}}}, " for name in named)
    text = (
        f"{HEAD}  - {{kind: pv, home: Load {named[0]}, name: own, p_peak_kw: 5, profile: constant}}\n"
        f"seed: {seed}\ncommunities:\n"
        f"  - {{name: a, kind: CER, area: {area}, max_plant_kw: 200, members: [{homes}{members}]}}\n{more}"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(text)
        return build_plant(load_scenario(path), feeder())[0]


def homes_of(plant, community=0):
    communities = plant.communities
    return set(communities.member_home[communities.member_community == community].tolist())


@settings(max_examples=25)
@given(SEEDS, SHARES, SHARES, st.sampled_from(AREAS))
def test_a_smaller_share_lies_in_a_larger_one(seed, first, second, area):
    small, large = sorted((first, second))
    inner, outer = (homes_of(drawn(seed, f"{{share: {share} %}}", area=area)) for share in (small, large))
    assert inner <= outer


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 9))
def test_a_number_of_homes_is_that_number_and_the_same_each_time(seed, count):
    try:
        first, second = (drawn(seed, f"{{count: {count}}}") for _ in range(2))
    except ScenarioError as error:
        # how many have no plant above the community's limit is drawn as well
        eligible = re.search(rf"draws {count} homes .* and (\d+) are eligible", str(error))
        assert eligible is not None
        assert int(eligible[1]) < count
        return
    assert len(homes_of(first)) == 2 + count
    assert homes_of(first) == homes_of(second)


@settings(max_examples=25)
@given(SEEDS, SHARES, st.sampled_from(AREAS), st.sampled_from(["all", "pv", "no_pv"]))
def test_nobody_who_is_not_eligible_is_drawn(seed, share, area, among):
    plant = drawn(seed, f"{{share: {share} %, among: {among}, match: '*[0-9]*'}}", area=area)
    areas = supply_areas(feeder())
    cp = areas.cp_name.index(area)
    members = np.array(sorted(homes_of(plant)))
    assert (areas.bus_cp[plant.home_bus[members]] == cp).all()
    assert (plant.communities.plant_kw <= 200.0).all()
    named = {plant.home_name.index(name) for name in ("Load C12", "Load C13", "Load R3", "Load R4")}
    with_pv = {home for home in members.tolist() if home in plant.pv_home} - named
    assert not (among == "no_pv" and with_pv)
    assert among != "pv" or set(members.tolist()) - named == with_pv


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 60), SHARES)
def test_two_communities_of_one_substation_share_no_home(seed, first, second):
    homes = f"{{home: Load C14}}, {{home: Load C20}}, {{share: {second} %}}"
    more = f"  - {{name: b, kind: CER, max_plant_kw: 200, members: [{homes}]}}\n"
    plant = drawn(seed, f"{{share: {first} %}}", more=more)
    assert not homes_of(plant, 0) & homes_of(plant, 1)
    assert len(np.unique(plant.communities.member_home)) == plant.communities.n_members


@settings(max_examples=15)
@given(SEEDS, SHARES)
def test_what_one_community_names_no_other_draws(seed, share):
    more = "  - {name: b, kind: CER, members: [{home: Load C14}, {home: Load C20}]}\n"
    plant = drawn(seed, f"{{share: {share} %}}", more=more)
    assert homes_of(plant, 1) == {plant.home_name.index(name) for name in ("Load C14", "Load C20")}


@settings(max_examples=15)
@given(SEEDS, SHARES, SHARES)
def test_a_smaller_share_that_opts_out_lies_in_a_larger_one(seed, first, second):
    small, large = sorted((first, second))
    inner, outer = (
        drawn(seed, f"{{share: 100 %, opted_out_share: {share} %}}").communities.member_opted_out
        for share in (small, large)
    )
    assert not (inner & ~outer).any()
