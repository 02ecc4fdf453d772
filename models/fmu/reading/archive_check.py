"""What is looked at in an FMU archive before anything of it is used.

An archive comes from somebody else. What it says of itself (names, sizes, kinds of entries) is checked first, and no
more is read or written than was checked: a header that lies ends the reading.
"""

import contextlib
import errno
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from models.errors import FmuArchiveError

__all__ = ["DESCRIPTION", "Archive", "check_archive", "opened"]

DESCRIPTION = "modelDescription.xml"
MAX_ENTRIES = 20_000
MAX_BYTES = 2 * 10**9
MAX_RATIO = 200
"""Deflate reaches 1032 with zeros; libraries, sources and tables of numbers stay below 30."""
RATIO_FROM_BYTES = 50 * 10**6
"""An archive that unpacks to less may have any ratio."""
MAX_DEPTH = 64
"""Folders in one another; an environment of Python packed into the resources has some ten."""
MAX_COMPONENT_BYTES = 255
"""Of the name of one file or folder: what disks take."""
MAX_DIRECTORY_BYTES = 20 * 10**6
"""The table of contents alone: 1000 bytes for each entry allowed."""
_CHUNK = 1 << 20
_SHOWN = 100
"""Characters of a long name in a message."""
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SMALLEST_HEADER = 30
_ENCRYPTED = 0x1
_END = struct.Struct("<4s4H2LH")
"""End record of a zip archive (APPNOTE 4.3.16)."""
_END_64 = struct.Struct("<4sQ2H2L4Q")
"""The same for large archives (APPNOTE 4.3.14); a locator stands between the two."""
_LOCATOR_64_BYTES = 20
_LONGEST_COMMENT = 0xFFFF


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A checked archive that is open."""

    file: Path
    entries: Mapping[str, zipfile.ZipInfo]
    """Files (not folders) by name."""
    zip: zipfile.ZipFile

    def read(self, name: str, *, limit_bytes: int) -> bytes:
        """Return the content of one entry.

        Raises:
            FmuArchiveError: it is larger than ``limit_bytes``, or damaged.
        """
        entry = self.entries[name]
        if entry.file_size > limit_bytes:
            raise FmuArchiveError(
                f"{self.file}: {name} has {entry.file_size / 1e6:.0f} MB, {limit_bytes / 1e6:.0f} MB are the most; "
                "export with fewer variables (most tools can leave out protected ones)"
            )
        return b"".join(_chunks(self, entry))

    def unpack(self, folder: Path) -> None:
        """Write all files below ``folder``; at most as many bytes as the archive said when it was checked.

        Raises:
            FmuArchiveError: an entry is damaged, larger or smaller than it says, or the disk cannot take it.
        """
        for name, entry in self.entries.items():
            target = folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as stream:
                    for chunk in _chunks(self, entry):
                        stream.write(chunk)
            except OSError as error:
                raise FmuArchiveError(
                    f"{self.file}: cannot write {_short(name)} to {folder}: {error.strerror or error}; "
                    f"{_writing_remedy(error)}"
                ) from error


def _chunks(archive: Archive, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of an entry; raise as soon as it is not what its header says."""
    left = entry.file_size
    try:
        with archive.zip.open(entry) as stream:
            while chunk := stream.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _damaged(archive.file, f"{entry.filename}: {error}") from error
    if left != 0:
        raise _damaged(
            archive.file, f"{entry.filename} is not as long as its header says ({entry.file_size} bytes)"
        )


def _writing_remedy(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return (
            "its path is too long: export with shorter names, or set TMPDIR to a folder with a shorter path"
        )
    return "make room or set TMPDIR to a folder that can take it"


def check_archive(file: Path) -> None:
    """Refuse a file that is no FMU or that is not safe to unpack.

    Raises:
        FmuArchiveError: no zip archive, damaged, without model description, with names that lead out of the folder, are
            too long or too deep, links, names that occur twice, encrypted or overlapping entries, or more than a disk should take.
    """
    with opened(file):
        pass


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Archive]:
    """Open an archive and check it; see :func:`check_archive` for what is refused."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise FmuArchiveError(
            f"{file}: cannot be read: {error.strerror or error}; give the path of an .fmu file"
        ) from error
    with stream, _zip(file, stream) as archive:
        yield Archive(file=file, entries=_checked(file, archive), zip=archive)


def _zip(file: Path, stream: BinaryIO) -> zipfile.ZipFile:
    if _directory_bytes(stream) > MAX_DIRECTORY_BYTES:
        raise FmuArchiveError(
            f"{file}: has more than {MAX_ENTRIES} entries; export without documentation or sources"
        )
    try:
        return zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise FmuArchiveError(
            f"{file}: no zip archive, so no FMU, or damaged ({error}); export or copy it again"
        ) from error


def _directory_bytes(stream: BinaryIO) -> int:
    """Return the size the table of contents claims, before it is read into memory."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END.size - _LONGEST_COMMENT - _END_64.size - _LOCATOR_64_BYTES))
    tail = stream.read()
    at = len(tail) - _END.size
    if at < 0 or tail[at : at + 4] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + _END.size:
        return 0  # no archive: refused when it is opened
    at_64 = at - _LOCATOR_64_BYTES - _END_64.size
    if at_64 >= 0 and tail[at - _LOCATOR_64_BYTES :][:4] == b"PK\x06\x07":
        return int(_END_64.unpack_from(tail, at_64)[8])
    return int(_END.unpack_from(tail, at)[5])


def _checked(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise FmuArchiveError(
            f"{file}: has {len(entries)} entries, {MAX_ENTRIES} are the most; export without documentation or sources"
        )
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        _check_entry(file, entry)
        name = str(PurePosixPath(entry.filename))
        if entry.is_dir():
            continue
        if name in files:
            raise _unsafe(file, f"the name {name!r} occurs twice")
        files[name] = entry
    _check_sizes(file, list(files.values()))
    _check_overlap(file, entries, end=archive.start_dir)
    _check_folders(file, files)
    if DESCRIPTION not in files:
        raise FmuArchiveError(
            f"{file}: a zip archive without {DESCRIPTION} at its top, so no FMU; zip the content of the folder, not the "
            "folder, or export it again"
        )
    return files


def _check_folders(file: Path, names: Mapping[str, zipfile.ZipInfo]) -> None:
    """Refuse a name that is a file and a folder; each folder is looked at once."""
    seen: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in seen:
            if folder in names:
                raise _unsafe(file, f"{folder!r} is a file and the folder of {name!r}")
            seen.add(folder)
            folder = folder.rpartition("/")[0]


def _check_entry(file: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    _check_length(file, name)
    if not name or _CONTROL.search(name):
        raise _unsafe(file, f"the name {name!r} is empty or has control characters")
    if "\\" in name:
        raise _unsafe(file, f"the name {name!r} has a backslash (the standard wants /)")
    if name.startswith("/") or _DRIVE.match(name) or (os.name == "nt" and ":" in name):
        raise _unsafe(file, f"the name {name!r} is absolute")
    if ".." in name.split("/"):
        raise _unsafe(file, f"the name {name!r} leads out of its folder")
    if not PurePosixPath(name).parts:
        raise _unsafe(file, f"the name {name!r} names no file")
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise _unsafe(file, f"{name!r} is a link or a device")
    if entry.flag_bits & _ENCRYPTED:
        raise _unsafe(file, f"{name!r} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _unsafe(file, f"{name!r} is packed by another method than deflate")


def _check_length(file: Path, name: str) -> None:
    parts = name.split("/")
    if len(parts) > MAX_DEPTH:
        raise FmuArchiveError(
            f"{file}: {_short(name)} lies {len(parts) - 1} folders deep, {MAX_DEPTH - 1} are the most; export without this "
            "file, or with fewer folders in one another"
        )
    longest = max(parts, key=_byte_length)
    if _byte_length(longest) > MAX_COMPONENT_BYTES:
        raise FmuArchiveError(
            f"{file}: the name {_short(longest)} has {_byte_length(longest)} bytes, {MAX_COMPONENT_BYTES} are the most that "
            "disks take; export with a shorter name of this file or folder"
        )


def _byte_length(text: str) -> int:
    return len(text.encode("utf-8", errors="surrogatepass"))


def _short(name: str) -> str:
    """Return a name as it can stand in a message."""
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN // 2]}...{name[-_SHOWN // 2 :]}"


def _check_sizes(file: Path, entries: list[zipfile.ZipInfo]) -> None:
    total_bytes = sum(entry.file_size for entry in entries)
    packed_bytes = max(1, sum(entry.compress_size for entry in entries))
    if total_bytes > MAX_BYTES:
        raise FmuArchiveError(
            f"{file}: would unpack to {total_bytes / 1e9:.1f} GB, {MAX_BYTES / 1e9:.0f} GB are the most; export with "
            "smaller resources"
        )
    if total_bytes > RATIO_FROM_BYTES and total_bytes > MAX_RATIO * packed_bytes:
        raise FmuArchiveError(
            f"{file}: would unpack from {packed_bytes / 1e6:.1f} to {total_bytes / 1e6:.0f} MB, more than {MAX_RATIO} "
            "times: this is how an archive that fills a disk looks; zip it without compression if you trust it"
        )


def _check_overlap(file: Path, entries: list[zipfile.ZipInfo], *, end: int) -> None:
    """Each entry must have its own bytes: shared ones are how a small archive becomes a large folder."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    limits = [*(entry.header_offset for entry in ordered[1:]), end]
    for entry, limit in zip(ordered, limits, strict=True):
        if entry.header_offset < 0 or entry.header_offset + _SMALLEST_HEADER + entry.compress_size > limit:
            raise _unsafe(file, f"{entry.filename!r} overlaps with what follows it")


def _unsafe(file: Path, what: str) -> FmuArchiveError:
    return FmuArchiveError(
        f"{file}: not safe to unpack: {what}; do not use it if you do not know why, else unzip it yourself, put it "
        "right and zip it again"
    )


def _damaged(file: Path, what: str) -> FmuArchiveError:
    return FmuArchiveError(f"{file}: damaged: {what}; export or copy it again")
