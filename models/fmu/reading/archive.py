"""FMU archives on disk: checked, unpacked into a folder of their own, and removed with their user."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from models.fmu.base import FmuInfo, UnpackedFmu
from models.fmu.folders import PREFIX
from models.fmu.reading.archive_check import check_archive, opened
from models.fmu.reading.description import read_info

__all__ = ["check_archive", "unpacked"]


@contextlib.contextmanager
def unpacked(file: Path, info: FmuInfo | None = None) -> Iterator[UnpackedFmu]:
    """Check an FMU, unpack it into a temporary folder of its own, and remove that on every path.

    Args:
        file: the FMU.
        info: what it says of itself, where that was read before.

    Raises:
        FmuArchiveError: unsafe, damaged, or the disk cannot take it.
    """
    known = read_info(file) if info is None else info
    # Windows keeps a library that could not be unloaded: what is left of the folder must not hide the first error
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=os.name == "nt") as place:
        folder = Path(place).resolve()
        with opened(file) as archive:
            archive.unpack(folder)
        yield UnpackedFmu(info=known, folder=folder)
