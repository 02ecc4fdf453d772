"""The communities of the guide work as written."""

import re
from pathlib import Path

from twin.prepare import prepare
from twin.scenario import load_scenario
from twin.scenario.community import MemberSpec

GUIDE = (Path(__file__).parents[2] / "docs/scenarios.md").read_text()
HEAD = """\
feeder: {source: simbench:1-MVLV-rural-1.108-0-sw}
period: {start: 2016-07-04, days: 7}
strategies: {none: }
devices:
  - {kind: load, from: feeder, profile: feeder}
  - {kind: load, bus: LV1.108 Bus 2, name: flat 1, profile: "feeder:H0-A", p_kw: 3}
  - {kind: load, bus: LV1.108 Bus 2, name: flat 2, profile: "feeder:H0-B", p_kw: 3}
  - {kind: pv, home: flat 1, name: roof, p_peak_kw: 8, profile: "feeder:PV5"}
  - {kind: pv, share: 50 %, match: "LV1.108 *", p_peak_kw: 5, profile: "feeder:PV5"}
"""


def test_the_communities_of_the_guide_can_be_run(tmp_path):
    (block,) = (
        text for text in re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL) if "communities:" in text
    )
    path = tmp_path / "guide.yaml"
    path.write_text(HEAD + block)
    communities = prepare(load_scenario(path)).plant.communities
    assert communities.name == ("village", "block of flats")
    assert communities.area == ("MV1.101 busbar1.1", "LV1.108 Bus 2")
    assert communities.member_kind.count("farm") == 2


def test_every_way_and_field_of_a_member_that_steers_draws_is_in_the_guide():
    fields = set(MemberSpec.model_fields) - {"plants_since"}
    assert {field for field in fields if f"`{field}" not in GUIDE and f"{field}:" not in GUIDE} == set()
