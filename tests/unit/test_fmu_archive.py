"""FMU archives: what is refused, what reaches the disk, and that nothing stays behind."""

import stat
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_fmus_zips import bomb, with_link

from models.errors import FmuArchiveError
from models.fmu.reading.archive import check_archive, unpacked
from models.fmu.reading.archive_check import _check_folders
from models.fmu.reading.description import read_info

XML = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName="empty" guid="{1}">
  <CoSimulation modelIdentifier="empty"/>
  <ModelVariables/>
  <ModelStructure/>
</fmiModelDescription>
"""


def fmu(to: Path, **entries: bytes) -> Path:
    """Write an FMU with further entries, as they are named."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("modelDescription.xml", XML)
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return to


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    """What the description says, read once: the tests that use it are about the archive around it."""
    return read_info(fmu(tmp_path_factory.mktemp("read") / "some.fmu"))


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder for temporary files that the test can look into."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_an_fmu_is_unpacked_into_a_folder_of_its_own_that_goes_with_its_user(tmp_path, places):
    file = fmu(tmp_path / "good.fmu", **{"resources/a/table.txt": b"1 2 3", "documentation/": b""})
    with unpacked(file) as found:
        assert found.folder.parent == places.resolve()
        assert found.folder.name.startswith("gemello-fmu-")
        assert (found.folder / "resources/a/table.txt").read_bytes() == b"1 2 3"
        assert (found.folder / "modelDescription.xml").read_text(encoding="utf-8") == XML
        assert found.info.model_name == "empty"
    assert list(places.iterdir()) == []


def test_the_folder_goes_when_its_user_fails(tmp_path, places):
    def use() -> None:
        with unpacked(fmu(tmp_path / "good.fmu")) as found:
            (found.folder / "written by the FMU").write_text("left over", encoding="utf-8")
            raise KeyError

    with pytest.raises(KeyError):
        use()
    assert list(places.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../outside.txt", "leads out of its folder"),
        ("resources/../../outside.txt", "leads out of its folder"),
        ("/etc/outside.txt", "is absolute"),
        ("C:/outside.txt", "is absolute"),
        ("c:outside.txt", "is absolute"),
        ("..\\outside.txt", "has a backslash"),
        ("C:\\outside.txt", "has a backslash"),
        ("resources\\table.txt", "has a backslash"),
        ("resources/a\ntable.txt", "control characters"),
        (".", "names no file"),
    ],
)
def test_a_name_that_may_lead_out_of_the_folder_is_refused(tmp_path, places, name, what):
    with (
        pytest.raises(FmuArchiveError, match=rf"bad.fmu: not safe to unpack: .*{what}.*; do not use it"),
        unpacked(fmu(tmp_path / "bad.fmu", **{name: b"x"})),
    ):
        pass
    assert not (tmp_path / "outside.txt").exists()
    assert list(places.iterdir()) == []


def test_a_name_with_a_zero_byte_is_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu", **{"resources/goodXbad": b"x"})
    file.write_bytes(file.read_bytes().replace(b"goodXbad", b"good\0bad"))
    with pytest.raises(FmuArchiveError, match=r"control characters"):
        check_archive(file)


PARTS = ["..", ".", "", "a", "b:", "\\", "c d", "é", "C:", "~", "con"]


@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5))
@settings(deadline=None, max_examples=150)
def test_whatever_the_names_nothing_is_written_outside(info, parts):
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        top = Path(place).resolve()
        shelf = top / "a" / "b" / "c" / "d"
        shelf.mkdir(parents=True)
        patch.setattr(tempfile, "tempdir", str(shelf))
        name = "/".join([*parts, "file.txt"])
        file = fmu(top / "some.fmu", **{name: b"x"})
        before = set(top.rglob("*"))
        try:
            with unpacked(file, info) as found:
                assert (found.folder / name).read_bytes() == b"x"
                assert all(path.is_relative_to(found.folder) for path in set(top.rglob("*")) - before)
        except FmuArchiveError:
            assert ".." in parts or "\\" in parts or parts[0] in {"", "C:", "b:"}
        assert set(top.rglob("*")) == before


def test_a_symbolic_link_is_refused(tmp_path):
    file = with_link(
        fmu(tmp_path / "good.fmu"), tmp_path / "link.fmu", name="resources/link", target="/etc/passwd"
    )
    with pytest.raises(FmuArchiveError, match=r"'resources/link' is a link or a device"):
        check_archive(file)


def test_a_device_file_is_refused(tmp_path):
    entry = zipfile.ZipInfo("resources/null")
    entry.external_attr = (stat.S_IFCHR | 0o666) << 16
    file = fmu(tmp_path / "bad.fmu")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, b"")
    with pytest.raises(FmuArchiveError, match=r"'resources/null' is a link or a device"):
        check_archive(file)


@pytest.mark.parametrize("second", ["resources/a.txt", "resources//a.txt", "./resources/a.txt"])
def test_a_name_that_occurs_twice_is_refused(tmp_path, second):
    file = fmu(tmp_path / "bad.fmu", **{"resources/a.txt": b"one"})
    with zipfile.ZipFile(file, "a") as archive:
        if second == "resources/a.txt":
            with pytest.warns(UserWarning, match=r"Duplicate name"):
                archive.writestr(second, b"two")
        else:
            archive.writestr(second, b"two")
    with pytest.raises(FmuArchiveError, match=r"the name 'resources/a.txt' occurs twice"):
        check_archive(file)


def test_a_file_that_is_also_a_folder_is_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu", **{"resources": b"file", "resources/a.txt": b"x"})
    with pytest.raises(FmuArchiveError, match=r"'resources' is a file and the folder of 'resources/a.txt'"):
        check_archive(file)


def test_an_archive_that_says_it_unpacks_to_10_gb_is_refused(tmp_path):
    file = bomb(fmu(tmp_path / "good.fmu"), tmp_path / "bomb.fmu")
    assert file.stat().st_size < 15e6
    with pytest.raises(FmuArchiveError, match=r"would unpack to 10\.7 GB, 2 GB are the most"):
        check_archive(file)


def test_an_archive_that_hides_its_10_gb_writes_no_more_than_it_said(tmp_path, places):
    file = bomb(fmu(tmp_path / "good.fmu"), tmp_path / "bomb.fmu", declared_bytes=1000)
    check_archive(file)
    with pytest.raises(FmuArchiveError, match=r"damaged: resources/table\.bin: Bad CRC-32"), unpacked(file):
        pass
    assert list(places.iterdir()) == []


def test_an_archive_that_packs_too_well_is_refused(tmp_path):
    file = fmu(tmp_path / "good.fmu")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("resources/zeros.bin", bytes(60 * 10**6))
    with pytest.raises(FmuArchiveError, match=r"to 60 MB, more than 200 times"):
        check_archive(file)


def test_a_small_archive_may_pack_well(tmp_path):
    file = fmu(tmp_path / "good.fmu")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("resources/zeros.bin", bytes(10 * 10**6))
    check_archive(file)


def test_an_entry_that_is_shorter_than_it_says_is_damaged(tmp_path, places):
    file = fmu(tmp_path / "bad.fmu", **{"resources/a.txt": b"12345"})
    raw = bytearray(file.read_bytes())
    central = raw.rfind(b"PK\x01\x02")
    struct.pack_into("<I", raw, central + 24, 500)
    file.write_bytes(bytes(raw))
    with (
        pytest.raises(FmuArchiveError, match=r"damaged: resources/a\.txt.*(not as long|Bad CRC|truncated)"),
        unpacked(file),
    ):
        pass
    assert list(places.iterdir()) == []


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu", **{"resources/a.txt": b"a" * 100, "resources/b.txt": b"b" * 100})
    raw = bytearray(file.read_bytes())
    directories = [k for k in range(len(raw) - 4) if raw[k : k + 4] == b"PK\x01\x02"]
    (offset_of_a,) = struct.unpack_from("<I", raw, directories[1] + 42)
    struct.pack_into("<I", raw, directories[2] + 42, offset_of_a)
    file.write_bytes(bytes(raw))
    with pytest.raises(FmuArchiveError, match=r"overlaps with what follows it"):
        check_archive(file)


def test_an_entry_that_reaches_into_the_next_is_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu", **{"resources/a.txt": b"a" * 100, "resources/b.txt": b"b" * 100})
    raw = bytearray(file.read_bytes())
    first = raw.find(b"PK\x01\x02")
    (packed_bytes,) = struct.unpack_from("<I", raw, first + 20)
    struct.pack_into("<I", raw, first + 20, packed_bytes + 100)
    file.write_bytes(bytes(raw))
    with pytest.raises(FmuArchiveError, match=r"'modelDescription\.xml' overlaps with what follows it"):
        check_archive(file)


def test_an_archive_with_too_many_entries_is_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu", **{f"resources/{k}": b"" for k in range(20_000)})
    with pytest.raises(FmuArchiveError, match=r"has 20001 entries, 20000 are the most"):
        check_archive(file)


def test_a_table_of_contents_that_claims_to_be_huge_is_not_read(tmp_path):
    file = fmu(tmp_path / "bad.fmu")
    raw = bytearray(file.read_bytes())
    struct.pack_into("<I", raw, len(raw) - 22 + 12, 3 * 10**9)
    file.write_bytes(bytes(raw))
    with pytest.raises(FmuArchiveError, match=r"has more than 20000 entries"):
        check_archive(file)


@pytest.mark.parametrize("claimed_bytes", [None, 3 * 10**9])
def test_the_table_of_contents_of_a_large_archive_has_its_own_record(tmp_path, claimed_bytes):
    file = fmu(tmp_path / "large.fmu")
    raw = file.read_bytes()
    end = raw[-22:]
    count, size, offset = struct.unpack_from("<HII", end, 10)
    claim = size if claimed_bytes is None else claimed_bytes
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, claim, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(raw) - 22, 1)
    end = end[:8] + struct.pack("<HHII", 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) + end[20:]
    file.write_bytes(raw[:-22] + record + locator + end)
    if claimed_bytes is None:
        check_archive(file)
        return
    with pytest.raises(FmuArchiveError, match="has more than 20000 entries"):
        check_archive(file)


def test_an_archive_with_a_comment_and_one_behind_other_bytes_are_read(tmp_path):
    file = fmu(tmp_path / "good.fmu")
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"made by a tool"
    check_archive(file)
    file.write_bytes(b"#!/bin/sh\n" + file.read_bytes())
    check_archive(file)


def test_an_encrypted_entry_is_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu", **{"resources/a.txt": b"x"})
    raw = bytearray(file.read_bytes())
    central = raw.rfind(b"PK\x01\x02")
    struct.pack_into("<H", raw, central + 8, 1)
    file.write_bytes(bytes(raw))
    with pytest.raises(FmuArchiveError, match=r"'resources/a.txt' is encrypted"):
        check_archive(file)


def test_another_method_of_packing_is_refused(tmp_path):
    file = fmu(tmp_path / "bad.fmu")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("resources/a.txt", b"x")
    with pytest.raises(FmuArchiveError, match=r"packed by another method than deflate"):
        check_archive(file)


def test_what_is_no_fmu_says_so(tmp_path):
    text = tmp_path / "text.fmu"
    text.write_text("no archive", encoding="utf-8")
    with pytest.raises(FmuArchiveError, match=r"text.fmu: no zip archive, so no FMU"):
        check_archive(text)
    with pytest.raises(FmuArchiveError, match=r"missing.fmu: cannot be read: No such file"):
        check_archive(tmp_path / "missing.fmu")
    with pytest.raises(FmuArchiveError, match=r"cannot be read: Is a directory"):
        check_archive(tmp_path)


def test_a_folder_that_was_zipped_with_its_name_says_what_to_do(tmp_path):
    file = tmp_path / "nested.fmu"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("nested/modelDescription.xml", XML)
    with pytest.raises(
        FmuArchiveError, match=r"without modelDescription.xml at its top.*zip the content of the folder"
    ):
        check_archive(file)


def test_a_half_copied_file_says_so(tmp_path):
    file = fmu(tmp_path / "good.fmu", **{"resources/a.txt": b"x" * 1000})
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(FmuArchiveError, match=r"damaged"):
        check_archive(file)


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_a_changed_byte_gives_the_same_content_or_a_clear_error(info, data):
    with tempfile.TemporaryDirectory() as place:
        content = bytes(range(256)) * 4
        file = fmu(Path(place) / "some.fmu", **{"resources/a.bin": content})
        raw = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(bytes(raw))
        try:
            with unpacked(file, info) as found:
                kept = found.folder / "resources/a.bin"
                assert not kept.exists() or kept.read_bytes() == content
        except FmuArchiveError as error:
            assert "some.fmu" in str(error)  # noqa: PT017  # either outcome is right, depending on the byte


def test_a_disk_that_takes_nothing_more_is_told(tmp_path, places):
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    file = fmu(tmp_path / "good.fmu", **{"resources/large": bytes(10_000)})
    known = read_info(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with (
            pytest.raises(
                FmuArchiveError, match=r"cannot write resources/large to .*: File too large; make room"
            ),
            unpacked(file, known),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(places.iterdir()) == []


def test_a_name_too_deep_for_a_disk_is_refused_before_anything_is_written(tmp_path, places):
    deep = fmu(tmp_path / "deep.fmu", **{"a/" * 1900 + "x": b""})
    with pytest.raises(
        FmuArchiveError, match=r"deep\.fmu: a/a/.*\.\.\..*x lies 1900 folders deep, 63 are the most"
    ):
        check_archive(deep)
    assert list(places.iterdir()) == []


def test_the_deepest_name_allowed_is_unpacked(tmp_path, places):
    name = "a/" * 63 + "x"
    with unpacked(fmu(tmp_path / "deep.fmu", **{name: b"1"})) as found:
        assert (found.folder / name).read_bytes() == b"1"


def test_a_file_that_is_a_folder_further_up_is_refused(tmp_path):
    """Also where another file in that folder was looked at before."""
    file = fmu(tmp_path / "both.fmu", **{"a/b/c/d": b"", "a/b/c/e": b"", "a/b": b""})
    with pytest.raises(FmuArchiveError, match=r"'a/b' is a file and the folder of 'a/b/c/d'"):
        check_archive(file)


def test_each_folder_of_an_archive_is_looked_at_once():
    """20 000 files in the same 63 folders ask for each of these folders once."""

    class Counted(dict[str, zipfile.ZipInfo]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            Counted.asked += 1
            return super().__contains__(name)

    names = Counted({"a/" * 63 + str(k): zipfile.ZipInfo() for k in range(20_000)})
    _check_folders(Path("some.fmu"), names)
    assert Counted.asked == 63


@pytest.mark.parametrize("letter", ["a", "\u00e8"])
def test_a_name_longer_than_disks_take_says_how_to_shorten_it(tmp_path, letter):
    size = len(letter.encode())
    longest = letter * (255 // size)
    check_archive(fmu(tmp_path / "fits.fmu", **{f"resources/{longest}/x": b""}))
    file = fmu(tmp_path / "long.fmu", **{f"resources/{longest}{letter}/x": b""})
    with pytest.raises(
        FmuArchiveError, match=rf"has {len(longest) * size + size} bytes, 255 are the most .*shorter name"
    ):
        check_archive(file)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells it in other words")
def test_a_path_longer_than_the_system_takes_says_what_to_shorten(tmp_path, places):
    file = fmu(tmp_path / "long.fmu", **{"/".join(["a" * 250] * 40): b""})
    with (
        pytest.raises(FmuArchiveError, match=r"its path is too long: export with shorter names"),
        unpacked(file),
    ):
        pass
    assert list(places.iterdir()) == []
