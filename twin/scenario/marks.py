"""Where in the files a value came from."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from twin.errors import Mistake

__all__ = ["ROWS", "Mark", "Marks", "Path", "Problem", "closest", "format_path", "got", "parse_path"]

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a scenario, e.g. ``("devices", 1, "capacity_kwh")``."""

Problem = tuple[Path, str]
"""A path and what is wrong there."""

ROWS = "rows"
"""Path element under a device entry that leads to the rows of its CSV file."""

_LONGEST_SHOWN = 60
_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of a file, counted from 1; ``line`` is None where there is no single line."""

    file: str
    line: int | None


class Marks:
    """The mark of every path of a document."""

    def __init__(self, root: Mark) -> None:
        self._of: dict[Path, Mark] = {(): root}

    def __setitem__(self, path: Path, mark: Mark) -> None:
        self._of[path] = mark

    def items(self) -> Iterable[tuple[Path, Mark]]:
        """Return all paths and their marks."""
        return self._of.items()

    def find(self, path: Path) -> Mark:
        """Return the mark of ``path`` or of its nearest parent that has one."""
        while path not in self._of:
            path = path[:-1]
        return self._of[path]

    def mistake(self, path: Path, message: str) -> Mistake:
        """Return the mistake ``message`` at ``path``."""
        mark = self.find(path)
        return Mistake(file=mark.file, line=mark.line, field=format_path(path), message=message)


def format_path(path: Path) -> str:
    """Return a path as people write it: ``devices[1].capacity_kwh``; a row of a CSV file shows its column alone."""
    if ROWS in path[:-1] and path[0] in {"devices", "communities"}:
        path = path[path.index(ROWS) + 2 :]
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def parse_path(text: str) -> Path:
    """Return the path written as ``devices[1].capacity_kwh``."""
    return tuple(int(index) if index else key for index, key in _PATH_PART.findall(text))


def got(value: object) -> str:
    """Return ``value`` for an error message, cut where it is long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint: the known word nearest to ``word``, or all of them where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if near:
        return f"did you mean {next(name for name in names if name.lower() == near[0])!r}?"
    return f"known: {', '.join(names)}" if names else "there are none"
