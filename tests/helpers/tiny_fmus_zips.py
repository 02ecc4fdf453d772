"""FMU archives that are unsafe, damaged or for another machine."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["AARCH64", "BOMB_BYTES", "bomb", "changed", "for_machine", "with_entry", "with_link"]

BOMB_BYTES = 10 * 1024**3
AARCH64 = 183
"""Machine in the header of an ELF file."""
_CHUNK = 16 * 1024**2
_ZIP64 = 0xFFFFFFFF


def changed(
    file: Path,
    to: Path,
    *,
    add: Mapping[str, bytes] | None = None,
    edit: Mapping[str, Callable[[bytes], bytes]] | None = None,
    rename: Callable[[str], str] | None = None,
    leave_out: Callable[[str], bool] | None = None,
) -> Path:
    """Copy an FMU to ``to`` with entries added, edited, renamed or left out."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if leave_out is not None and leave_out(name):
                continue
            content = source.read(name)
            content = content if edit is None or name not in edit else edit[name](content)
            target.writestr(name if rename is None else rename(name), content)
        for name, content in (add or {}).items():
            target.writestr(name, content)
    return to


def with_entry(file: Path, to: Path, name: str) -> Path:
    """Copy an FMU with a further entry of that name, taken as it is (``../../evil``, ``/etc/evil``, ``C:\\evil``)."""
    return changed(file, to, add={name: b"written outside its folder"})


def with_link(file: Path, to: Path, *, name: str, target: str) -> Path:
    """Copy an FMU with a symbolic link."""
    changed(file, to)
    with zipfile.ZipFile(to, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
    return to


def for_machine(file: Path, to: Path, machine: int = AARCH64) -> Path:
    """Copy an FMU with ELF binaries that say they are for another machine."""
    with zipfile.ZipFile(file) as archive:
        libraries = [name for name in archive.namelist() if name.startswith("binaries/")]

    def other(content: bytes) -> bytes:
        return content[:18] + struct.pack("<H", machine) + content[20:]

    return changed(file, to, edit=dict.fromkeys(libraries, other))


def bomb(file: Path, to: Path, *, declared_bytes: int = BOMB_BYTES) -> Path:
    """Copy an FMU with an entry of some MB that inflates to 10 GB; ``declared_bytes`` is what its header says."""
    changed(file, to)
    name = "resources/table.bin"
    with zipfile.ZipFile(to, "a", zipfile.ZIP_STORED, allowZip64=True) as archive:
        # the place for the data is written as a stored entry, whose headers are then changed to say "deflated"
        data = _inflating_to(BOMB_BYTES)
        archive.writestr(name, data)
    raw = bytearray(to.read_bytes())
    local = raw.rfind(b"PK\x03\x04", 0, raw.rfind(data[:64]))
    central = raw.rfind(b"PK\x01\x02")
    _say_deflated(raw, local + 8, local + 22, declared_bytes)
    _say_deflated(raw, central + 10, central + 24, declared_bytes)
    if declared_bytes >= _ZIP64:
        _append_size(raw, central, declared_bytes)
    to.write_bytes(bytes(raw))
    return to


def _inflating_to(size: int) -> bytes:
    """Return a deflate stream of ``size`` zero bytes: one chunk, flushed, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = packer.compress(bytes(_CHUNK)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush(zlib.Z_FINISH)
    return chunk * (size // _CHUNK) + end


def _say_deflated(raw: bytearray, at_method: int, at_size: int, size: int) -> None:
    struct.pack_into("<H", raw, at_method, zipfile.ZIP_DEFLATED)
    struct.pack_into("<I", raw, at_size, min(size, _ZIP64))


def _append_size(raw: bytearray, central: int, size: int) -> None:
    """Give the last entry of the directory the field of ZIP64 with its size, and move what follows."""
    extra = struct.pack("<HHQ", 1, 8, size)
    name_length, extra_length = struct.unpack_from("<HH", raw, central + 28)
    at = central + 46 + name_length + extra_length
    raw[at:at] = extra
    struct.pack_into("<H", raw, central + 30, extra_length + len(extra))
    end = raw.rfind(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", raw, end + 12)
    struct.pack_into("<I", raw, end + 12, directory + len(extra))
