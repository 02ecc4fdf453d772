"""A PNG of a palette image, small enough to sit inside the page."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["palette_png", "png_uri"]

_INDEXED = 3


def _block(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def palette_png(index: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return a PNG file (ISO/IEC 15948) with one byte per pixel.

    Args:
        index: position in the palette, shape (height, width).
        palette: RGB, shape (colours, 3), at most 256 colours.
    """
    height, width = index.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = index
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _block(b"IHDR", header),
            _block(b"PLTE", palette.astype(np.uint8).tobytes()),
            _block(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _block(b"IEND", b""),
        )
    )


def png_uri(index: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return the same image as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(palette_png(index, palette)).decode("ascii")
