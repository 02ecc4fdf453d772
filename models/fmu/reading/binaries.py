"""What a shared library says of itself: for which machine it is, and how long its file must be.

The system maps a library into memory by its own tables. Where the file is shorter than they say, the process dies on a
page that is not there (SIGBUS) while it loads, so the length is compared first.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["machines_of", "needed_bytes"]

_HEAD_BYTES = 4096
_ELF_MAGIC, _PE_MAGIC = b"\x7fELF", b"MZ"
_ELF = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
"""``e_machine`` of the System V ABI."""
_ELF_CLASS, _ELF_DATA = 4, 5
"""Places of the width and of the order of bytes in an ELF header."""
_ELF_32, _ELF_BIG_ENDIAN = 1, 2
_ELF_MACHINE = "18xH"
_ELF_HEADERS = {32: "28xII6xHHHH2x", 64: "32xQQ6xHHHH2x"}
"""By width: places of the tables of segments and of sections, then size and number of their entries."""
_ELF_SEGMENTS = {32: "II8xI12x", 64: "I4xQ16xQ16x"}
"""Kind, place and length in the file."""
_LOADED = 1
"""PT_LOAD: a segment that is mapped."""
_PE = {0x014C: "x86", 0x01C4: "arm", 0x8664: "x86_64", 0xAA64: "aarch64"}
"""``Machine`` of the PE format."""
_DOS_HEADER = struct.Struct("<60xI")
"""Place of the PE header."""
_PE_HEADER = struct.Struct("<4sHH12xH2x")
"""Signature, machine, number of sections, size of the optional header."""
_PE_SECTION = struct.Struct("<16xII16x")
"""Length and place in the file."""
_MACH_O = {7: "x86", 12: "arm", 0x01000007: "x86_64", 0x0100000C: "aarch64"}
"""``cputype`` of the Mach-O format."""
_MACH_O_32, _MACH_O_64, _MACH_O_FAT = 0xFEEDFACE, 0xFEEDFACF, 0xCAFEBABE
_MACH_O_START = struct.Struct("<II")
"""Magic number and processor."""
_MACH_O_HEADERS = {_MACH_O_32: struct.Struct("<16xII4x"), _MACH_O_64: struct.Struct("<16xII8x")}
"""Number of commands and their bytes."""
_MACH_O_SEGMENTS = {1: struct.Struct("<32xII"), 0x19: struct.Struct("<40xQQ")}
"""By command (LC_SEGMENT, LC_SEGMENT_64): place and length in the file."""
_FAT_START = struct.Struct(">II")
_FAT_SLICE = struct.Struct(">I4xII4x")
"""Processor, place and length."""
_MOST_SLICES = 16


def machines_of(file: Path) -> set[str]:
    """Return for which machines a file is, as ``x86_64-linux``; empty if it is no shared library."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    try:
        if head.startswith(_ELF_MAGIC):
            (code,) = struct.unpack_from(_elf_order(head) + _ELF_MACHINE, head)
            return {_named(_ELF, code, "linux")}
        if head.startswith(_PE_MAGIC):
            signature, code, *_ = _PE_HEADER.unpack_from(head, *_DOS_HEADER.unpack_from(head))
            return {_named(_PE, code, "windows")} if signature == b"PE\0\0" else set()
        return {_named(_MACH_O, code, "darwin") for code in _mach_o_codes(head)}
    except (struct.error, IndexError):  # shorter than a header
        return set()


def needed_bytes(file: Path) -> int:
    """Return how long a shared library must be at least by its own tables [bytes].

    Args:
        file: one that :func:`machines_of` knows. Where a table itself is cut off, the result is its end.
    """
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        needed = 0
        for end in _ends(content):
            needed = max(needed, end)
            if end > len(content):
                break
    return needed


def _named(names: dict[int, str], code: int, system: str) -> str:
    return f"{names.get(code, f'machine {code:#x}')}-{system}"


def _elf_order(head: bytes | mmap.mmap) -> str:
    return ">" if head[_ELF_DATA] == _ELF_BIG_ENDIAN else "<"


def _mach_o_codes(head: bytes) -> list[int]:
    magic, code = _MACH_O_START.unpack_from(head)
    if magic in _MACH_O_HEADERS:
        return [code]
    magic, count = _FAT_START.unpack_from(head)
    if magic != _MACH_O_FAT or count > _MOST_SLICES:
        return []
    return [
        _FAT_SLICE.unpack_from(head, _FAT_START.size + number * _FAT_SLICE.size)[0] for number in range(count)
    ]


def _ends(content: mmap.mmap) -> Iterator[int]:
    """Yield where each part of the file ends; a table before what it lists, so that it can be read."""
    if content[: len(_ELF_MAGIC)] == _ELF_MAGIC:
        yield from _elf_ends(content)
    elif content[: len(_PE_MAGIC)] == _PE_MAGIC:
        yield from _pe_ends(content)
    elif _FAT_START.unpack_from(content)[0] == _MACH_O_FAT:
        yield from _fat_ends(content)
    else:
        yield from _mach_o_ends(content)


def _elf_ends(content: mmap.mmap) -> Iterator[int]:
    order, width = _elf_order(content), 32 if content[_ELF_CLASS] == _ELF_32 else 64
    header = struct.Struct(order + _ELF_HEADERS[width])
    yield header.size
    segments, sections, segment_size, n_segments, section_size, n_sections = header.unpack_from(content)
    yield segments + n_segments * segment_size
    yield sections + n_sections * section_size
    layout = struct.Struct(order + _ELF_SEGMENTS[width])
    for number in range(n_segments if segment_size >= layout.size else 0):
        kind, place, length = layout.unpack_from(content, segments + number * segment_size)
        if kind == _LOADED:
            yield place + length


def _pe_ends(content: mmap.mmap) -> Iterator[int]:
    (at,) = _DOS_HEADER.unpack_from(content)
    _, _, n_sections, optional_size = _PE_HEADER.unpack_from(content, at)
    table = at + _PE_HEADER.size + optional_size
    yield table + n_sections * _PE_SECTION.size
    for number in range(n_sections):
        length, place = _PE_SECTION.unpack_from(content, table + number * _PE_SECTION.size)
        yield place + length


def _fat_ends(content: mmap.mmap) -> Iterator[int]:
    _, count = _FAT_START.unpack_from(content)
    for number in range(count):
        _, place, length = _FAT_SLICE.unpack_from(content, _FAT_START.size + number * _FAT_SLICE.size)
        yield place + length


def _mach_o_ends(content: mmap.mmap) -> Iterator[int]:
    header = _MACH_O_HEADERS[_MACH_O_START.unpack_from(content)[0]]
    yield header.size
    n_commands, commands_size = header.unpack_from(content)
    at, end = header.size, header.size + commands_size
    yield end
    for _ in range(n_commands):
        if at + _MACH_O_START.size > end:
            return
        command, size = _MACH_O_START.unpack_from(content, at)
        segment = _MACH_O_SEGMENTS.get(command)
        if segment is not None and at + segment.size <= end:
            yield sum(segment.unpack_from(content, at))
        at += max(size, _MACH_O_START.size)
