"""The smallest files that are shared libraries by their tables, without code: for any system and processor."""

import struct

__all__ = ["binary", "elf", "mach_o", "pe"]

ELF = {"x86_64": 62, "aarch64": 183, "riscv": 243}
PE = {"x86_64": 0x8664, "aarch64": 0xAA64}
MACH_O = {"x86_64": 0x01000007, "aarch64": 0x0100000C}
CODE = b"code"
"""What the one segment or section holds, at the end of the file."""


def elf(architecture: str, *, width: int = 64, order: str = "<") -> bytes:
    """Return a file with one segment that is mapped."""
    start = b"\x7fELF" + bytes([width // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    header, segment = {64: (64, 56), 32: (52, 32)}[width]
    whole = header + segment + len(CODE)
    word = "Q" if width == 64 else "I"
    fields = (3, ELF[architecture], 1, 0, header, 0, 0, header, segment, 1, 0, 0, 0)
    head = struct.pack(f"{order}HHI{word}{word}{word}IHHHHHH", *fields)
    if width == 64:
        table = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, 0, 0, whole, whole, 4096)
    else:
        table = struct.pack(f"{order}IIIIIIII", 1, 0, 0, 0, whole, whole, 5, 4096)
    return start + head + table + CODE


def pe(architecture: str) -> bytes:
    """Return a file with one section."""
    start = b"MZ" + bytes(58) + struct.pack("<I", 64)
    header = b"PE\0\0" + struct.pack("<HHIIIHH", PE[architecture], 1, 0, 0, 0, 8, 0) + bytes(8)
    at = len(start) + len(header) + 40
    section = struct.pack("<8sIIIIIIHHI", b".text", len(CODE), 4096, len(CODE), at, 0, 0, 0, 0, 0)
    return start + header + section + CODE


def mach_o(*architectures: str, width: int = 64) -> bytes:
    """Return a file with one segment; for several architectures one of them for each, in a fat file."""
    if len(architectures) > 1:
        return _fat(architectures, width)
    header, command = (32, 72) if width == 64 else (28, 56)
    whole = header + command + len(CODE)
    magic = 0xFEEDFACF if width == 64 else 0xFEEDFACE
    head = struct.pack("<IIIIIII", magic, MACH_O[architectures[0]], 0, 6, 1, command, 0).ljust(header, b"\0")
    layout, kind = ("<II16sQQQQ", 0x19) if width == 64 else ("<II16sIIII", 1)
    segment = struct.pack(layout, kind, command, b"__TEXT", 0, whole, 0, whole).ljust(command, b"\0")
    return head + segment + CODE


def _fat(architectures: tuple[str, ...], width: int) -> bytes:
    at = 8 + 20 * len(architectures)
    table, slices = b"", b""
    for name in architectures:
        one = mach_o(name, width=width)
        table += struct.pack(">IIIII", MACH_O[name], 0, at + len(slices), len(one), 0)
        slices += one
    return struct.pack(">II", 0xCAFEBABE, len(architectures)) + table + slices


def binary(system: str, architecture: str) -> bytes:
    """Return a library for a system (linux, windows, darwin) and a processor."""
    return {"linux": elf, "windows": pe, "darwin": mach_o}[system](architecture)
