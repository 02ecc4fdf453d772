"""Reading YAML: what words mean, and what is refused as a whole."""

import pytest
import yaml

from twin.errors import ScenarioError
from twin.scenario import yaml_reader
from twin.scenario.yaml_reader import MAX_BYTES, read_yaml
from twin.scenario.yaml_scalars import resolve_scalar


@pytest.fixture
def read(tmp_path):
    def read(content):
        file = tmp_path / "s.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(file)

    return read


@pytest.fixture
def refused(read):
    """Return (line, message) of the only mistake, with the file name checked."""

    def refused(content):
        with pytest.raises(ScenarioError) as caught:
            read(content)
        (mistake,) = caught.value.mistakes
        assert mistake.file.endswith("s.yaml")
        return mistake.line, mistake.message

    return refused


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("12:30", "12:30"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("2016-07-04", "2016-07-04"),
        ("1_000", "1_000"),
        ("0x", "0x"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5E-2", -0.015),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text, meaning):
    value = resolve_scalar(text)
    assert value == meaning
    assert type(value) is type(meaning)


def test_quoted_words_stay_text(read):
    assert read("a: '12'\nb: \"true\"\nc: !!str 1e3\n").data == {"a": "12", "b": "true", "c": "1e3"}


def test_a_whole_number_of_thousands_of_digits_is_read_without_failing():
    assert resolve_scalar("9" * 5000) == float("inf")


def test_every_value_knows_its_line(read):
    document = read("# comment\na:\n  - x\n  - b: 1\n    c: {d: 2,\n        e: 3}\n")
    lines = {path: mark.line for path, mark in document.marks.items()}
    assert lines[("a",)] == 2
    assert lines[("a", 0)] == 3
    assert lines[("a", 1, "b")] == 4
    assert lines[("a", 1, "c", "d")] == 5
    assert lines[("a", 1, "c", "e")] == 6
    assert document.marks.find(("a", 1, "c", "missing", 4)).line == 5


def test_aliases_repeat_a_value(read):
    assert read("a: &x {p: 1}\nb: [*x, *x]\n").data == {"a": {"p": 1}, "b": [{"p": 1}, {"p": 1}]}


def test_duplicate_keys_are_reported_with_both_lines_and_the_first_value_is_kept(read):
    document = read("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [(m.line, m.field, "line 3" in m.message or "line 1" in m.message) for m in document.mistakes] == [
        (4, "b.c", True),
        (5, "a", True),
    ]


@pytest.mark.parametrize("content", ["", "# only a comment\n", "---\n", "null\n", "\ufeff"])
def test_an_empty_file_is_refused(refused, content):
    _, message = refused(content)
    assert "empty" in message


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        ("- a\n- b\n", 1, "this is a list"),
        ("\njust words\n", 2, "this is a single value"),
        ("a: 1\n---\nb: 2\n", 2, "several YAML documents"),
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: 'open\n", 2, "not valid YAML"),
        ("a: 1\nb: *nowhere\n", 2, "refers to nothing"),
        ("a: &x [*x]\n", 1, "refers to nothing"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("a: 1\n? [x]\n: 2\n", 2, "a key must be a plain word"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "'<<' is not part of YAML 1.2"),
        (b"a: 1\nb: caf\xe9\n", 2, "not UTF-8"),
        (b"\x7fELF\x00\x01\x02", None, "binary"),
        ("a: \x01\n", None, "not valid YAML"),
        ("[" * 100_000, 1, "nested deeper"),
        ("? " * 100_000, 1, "nested deeper"),
        (b"a: " + b"x" * MAX_BYTES, None, "larger than 5 MB"),
    ],
    ids=lambda value: None if isinstance(value, (str, bytes)) and len(value) > 60 else repr(value),
)
def test_files_that_are_no_scenario_are_refused_with_the_line(refused, content, line, part):
    found_line, message = refused(content)
    assert part in message
    assert found_line == line


def test_a_bomb_of_aliases_is_refused_before_it_is_expanded(refused):
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30))
    line, message = refused(f"l0: &l0 [lol]\n{levels}\n")
    assert "after expanding aliases" in message
    assert line is not None


def test_a_long_list_is_refused_with_the_advice_to_use_csv(refused):
    _, message = refused("a:\n" + "- 1\n" * 250_000)
    assert "CSV" in message


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="this is a folder"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "a: [1, {b: '2'}]\nc: &x |\n  text\nd: *x\n",
        "a:\n\tb: 1\n",
        "a: 1\n---\nb: 1\n",
        "a: \x01\n",
        "a: [1\n",
    ],
)
def test_the_python_parser_reads_like_the_c_parser(read, monkeypatch, content):
    def outcome():
        try:
            return read(content).data
        except ScenarioError as error:
            return [mistake.message.split(":")[0] for mistake in error.mistakes]

    with_c = outcome()
    monkeypatch.setattr(yaml_reader, "_LOADER", yaml.SafeLoader)
    assert outcome() == with_c
