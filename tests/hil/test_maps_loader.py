"""Files of register maps: shipped and a user's own, and files that are no maps."""

import contextlib
import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from map_files import HEAD, write_map

from hil_adapters.errors import MapError
from hil_adapters.maps.loader import json_schema, load_map, map_file, map_names

LIBRARY = Path(str(resources.files("hil_adapters.maps") / "library"))
BODY = "points:\n  - {name: p, address: 0, type: int16, unit: W}\n"


def test_a_shipped_map_is_found_by_its_name():
    assert load_map("generic_meter").name == "generic_meter"
    assert map_file("generic_meter").parent == LIBRARY


def test_a_name_that_is_not_shipped_is_refused_with_those_that_are():
    with pytest.raises(MapError, match="no register map 'fronius'; shipped are eastron_sdm630"):
        load_map("fronius")


def test_a_file_is_found_beside_the_one_that_names_it(tmp_path):
    path = write_map(tmp_path, BODY)
    assert load_map("mine.yaml", base_dir=tmp_path) == load_map(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"", "is a mapping of keys and values"),
        (b"- 1\n- 2\n", "is a mapping of keys and values"),
        (b"a: [1\n", ":2: not valid YAML"),
        (b"a: \x07\n", "not valid YAML"),
        (b"a: !!python/name:os.system\n", ":1: the tag"),
        (b"a: " + b"[" * 50 + b"]" * 50, ":1: nested deeper than 20"),
        (b"{a: b}: c\n", "a key must be a word"),
        (b"a: 1\n---\na: 2\n", "not valid YAML"),
        (b"#" * 2_000_001, "larger than 2 MB"),
    ],
)
def test_a_file_that_is_no_map_is_refused(tmp_path, content, told):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(MapError, match=told):
        load_map(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(MapError, match=r"nothing\.yaml: the register map cannot be read"):
        load_map(tmp_path / "nothing.yaml")


def test_aliases_that_grow_without_end_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 9)]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(MapError, match="more than 100000 values"):
        load_map(path)


def test_an_alias_inside_itself_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a [*a]\n")
    with pytest.raises(MapError):
        load_map(path)


def test_a_key_that_stands_twice_is_told(tmp_path):
    with pytest.raises(MapError, match=r"mine\.yaml:4: kind: stands twice, again in line 8; keep one"):
        load_map(write_map(tmp_path, BODY + "kind: meter\n"))


def test_words_that_older_yaml_takes_for_truth_stay_words(tmp_path):
    body = BODY.replace("unit: W", "unit: W, values: {0: off, 1: on, 0x10: 12:30}")
    assert load_map(write_map(tmp_path, body)).points[0].values == {0: "off", 1: "on", 16: "12:30"}


def test_hexadecimal_numbers_are_numbers(tmp_path):
    (point,) = load_map(write_map(tmp_path, BODY.replace("unit: W", "missing: [0x8000]"))).points
    assert point.missing == (0x8000,)


def test_anchors_may_be_shared(tmp_path):
    body = BODY + "signals: {p_kw: &power {point: p}, p_grid_kw: *power}\n"
    map_ = load_map(write_map(tmp_path, body))
    assert map_.signals["p_kw"] == map_.signals["p_grid_kw"]


@pytest.mark.parametrize("name", [entry for entry in map_names() if not entry.startswith("sunspec")])
def test_loading_a_copy_gives_the_same_map(tmp_path, name):
    copy = shutil.copy(map_file(name), tmp_path / "copy.yaml")
    assert load_map(copy) == load_map(name)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(map_names()), data=st.data())
def test_a_spoilt_map_is_taken_or_refused_and_nothing_else_happens(tmp_path, name, data):
    text = map_file(name).read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 30))
        text = text[:at] + data.draw(st.text(max_size=6)) + text[at + length :]
    path = tmp_path / "spoilt.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with contextlib.suppress(MapError):
        load_map(path)


def test_the_published_schema_is_that_of_the_program():
    assert json.loads((LIBRARY / "register_map.schema.json").read_text()) == json_schema()


def test_the_schema_knows_every_key_of_the_shipped_maps():
    known = set()

    def collect(part):
        if isinstance(part, dict):
            known.update(part.get("properties", {}))
            for value in part.values():
                collect(value)
        elif isinstance(part, list):
            for value in part:
                collect(value)

    collect(json_schema())
    for name in map_names():
        data = yaml.safe_load(map_file(name).read_text())
        assert set(data) <= known
        for point in data.get("points", []):
            assert set(point) <= known, name


def test_the_head_of_the_test_maps_alone_is_no_map(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD)
    with pytest.raises(MapError, match="no points and no discovery"):
        load_map(path)
