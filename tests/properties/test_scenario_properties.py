"""Laws of scenario files: no input breaks the reader, and what is written can be read again."""

import math
import tempfile
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.errors import ScenarioError
from twin.scenario import load_scenario
from twin.scenario.resolved import to_yaml
from twin.scenario.yaml_reader import read_yaml
from twin.scenario.yaml_scalars import resolve_scalar

# The first draw of text builds tables of Unicode, and a busy machine is no mistake of the code under test.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HEAD = "feeder: {source: simbench:x}\nperiod: {start: 2016-07-04, days: 1}\nstrategies: {none: }\n"

KEYS = st.sampled_from(
    [
        "extends",
        "name",
        "seed",
        "feeder",
        "period",
        "start",
        "days",
        "step_s",
        "sources",
        "devices",
        "kind",
        "from",
        "csv",
        "bus",
        "share",
        "profile",
        "inverter",
        "strategies",
        "use",
        "params",
        "limits",
        "prices",
        "external",
        "output",
        "also",
        "communities",
        "members",
        "home",
        "joined",
        "silent",
        "to",
        "x",
    ]
)
SCALARS = st.sampled_from(
    [
        "load",
        "pv",
        "battery",
        "feeder",
        "m.a",
        "weather:x",
        "x.py:Y",
        "5 kW",
        "60 %",
        "-1",
        "\0",
        "",
        "s.yaml",
        "a" * 300,
    ]
) | st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
PLAIN_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")), max_size=12
)
LIKE_OTHER_TYPES = st.from_regex(
    r"[-+.0-9eEoxabn_:~]{0,6}|(true|False|null|no|\.inf|\.NaN|12:30|1e3)", fullmatch=True
)


def load_content(content: bytes):
    """Load ``content`` as a scenario; anything but success and ScenarioError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.yaml"
        file.write_bytes(content)
        return load_or_check(file)


def load_or_check(file: Path):
    mistakes = ()
    try:
        return load_scenario(file)
    except ScenarioError as error:
        mistakes = error.mistakes
    assert mistakes
    assert all(mistake.message and mistake.file for mistake in mistakes)
    return None


@patient
@given(st.binary(max_size=200))
def test_any_bytes_load_or_are_refused_as_a_scenario(content):
    load_content(content)


@patient
@given(st.text(st.sampled_from(list("ab: -[]{}&*!|>'\"%@`#,?\n\t\\0~<")), max_size=60))
def test_any_yaml_like_text_loads_or_is_refused_as_a_scenario(text):
    load_content(text.encode())


@patient
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree_of_known_keys_loads_or_is_refused_as_a_scenario(data):
    load_content(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace"))


@patient
@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_any_device_loads_or_is_refused_as_a_scenario(device):
    load_content((HEAD + yaml.safe_dump({"devices": [device]})).encode("utf-8", "replace"))


@patient
@given(st.dictionaries(KEYS, TREES, max_size=4), st.dictionaries(KEYS, TREES, max_size=3))
def test_any_community_loads_or_is_refused_as_a_scenario(community, member):
    data = {"communities": [{"kind": "CER", **community, "members": [member]}, community]}
    load_content((HEAD + yaml.safe_dump(data)).encode("utf-8", "replace"))


@patient
@given(st.text(st.sampled_from(list("ab,;\"'\n\r\t 1-.\\\0")), max_size=60))
def test_any_device_list_loads_or_is_refused_as_a_scenario(rows):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.yaml"
        file.write_text(HEAD + "devices: [{kind: battery, csv: rows.csv}]\n", encoding="utf-8")
        (file.parent / "rows.csv").write_text("name,bus,capacity_kwh,power_kw\n" + rows, encoding="utf-8")
        load_or_check(file)


@patient
@given(st.integers(-(10**200), 10**200))
def test_whole_numbers_mean_themselves(number):
    assert resolve_scalar(str(number)) == number
    assert type(resolve_scalar(str(number))) is int


@patient
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_mean_themselves(number):
    assert resolve_scalar(repr(number)) == number
    assert resolve_scalar(f"{number:.17e}") == number


@patient
@given(st.integers(0, 10**12))
def test_octal_and_hexadecimal_numbers_mean_themselves(number):
    assert resolve_scalar(f"0o{number:o}") == number
    assert resolve_scalar(f"0x{number:x}") == number


@patient
@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_ :-]*", fullmatch=True))
def test_words_stay_text_unless_yaml_1_2_says_otherwise(text):
    special = {"true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL"}
    if text not in special:
        assert resolve_scalar(text) == text


@patient
@given(st.from_regex(r"[0-9]{1,2}:[0-5][0-9](:[0-5][0-9])?", fullmatch=True))
def test_times_of_day_stay_text(text):
    assert resolve_scalar(text) == text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXT
    | LIKE_OTHER_TYPES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT | LIKE_OTHER_TYPES, inner, max_size=4)
    ),
    max_leaves=20,
)


@patient
@given(st.dictionaries(PLAIN_TEXT | LIKE_OTHER_TYPES, VALUES, min_size=1, max_size=4))
def test_plain_data_written_as_yaml_is_read_back_exactly(data):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.yaml"
        file.write_text(to_yaml(data), encoding="utf-8", newline="\n")
        assert read_yaml(file).data == data


@patient
@given(
    st.floats(0.01, 1e4),
    st.floats(0.01, 1e4),
    st.floats(0, 0.4),
    st.floats(0.6, 1),
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES.filter(lambda value: value != {}), max_size=3
    ),
)
def test_a_resolved_scenario_loads_again_to_the_same(capacity_kwh, power_kw, soc_min, soc_max, params):
    battery = {"kind": "battery", "share": 0.5, "capacity_kwh": capacity_kwh, "power_kw": power_kw}
    data = {
        "name": "law",
        "feeder": {"source": "simbench:x"},
        "period": {"start": "2016-07-04", "days": 1},
        "strategies": {"mine": {"params": params}},
        "devices": [{**battery, "soc_min": soc_min, "soc_max": soc_max}],
    }
    first = load_content(to_yaml(data).encode())
    assert first is not None
    again = load_content(first.resolved_yaml().encode())
    assert again is not None
    assert again.scenario == first.scenario
    assert again.sha256 == first.sha256
    assert math.isclose(first.devices[0].spec.charge_kw, power_kw)
