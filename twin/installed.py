"""Packages that only some scenarios need: whether they are there, and which extra brings them."""

from collections.abc import Sequence
from importlib import import_module
from typing import Final, Literal

from twin.errors import InputError

__all__ = ["Package", "require_hil"]

Package = Literal["pyserial", "pysunspec2", "cryptography"]

_MODULES: Final[dict[Package, str]] = {
    "pyserial": "serial",
    "pysunspec2": "sunspec2",
    "cryptography": "cryptography",
}


def require_hil(packages: Sequence[Package]) -> None:
    """Refuse to go on where a package is missing that devices on the wire need.

    Raises:
        InputError: names every one of them, and the extra.
    """
    missing = [package for package in packages if not _can_be_imported(_MODULES[package])]
    if missing:
        raise InputError(
            f'devices on the wire need {" and ".join(missing)}; install it with: pip install "gemello[hil]"'
        )


def _can_be_imported(module: str) -> bool:
    try:
        import_module(module)
    except ModuleNotFoundError:
        return False
    return True
