"""Writes the tables of docs/faults.md: the catalogue, and what the client made of every fault in a run.

Run with ``python -m tools.fault_table`` after a change of the catalogue or of the client; the tests compare the file
with a run of their own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from hil_adapters.faults.catalogue import FaultEntry
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.wire.server import Framing
from tools.fault_matrix import LinkResult, run_links
from tools.fault_sessions import SessionResult, run_sessions

__all__ = ["DOCUMENT", "catalogue_table", "links_table", "sessions_table", "with_tables"]

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "faults.md"
_BEGIN, _END = "<!-- generated: {} -->", "<!-- end of {} -->"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _parameters(entry: FaultEntry) -> str:
    return "; ".join(
        f"`{parameter.name}` {parameter.text} ({parameter.default:g})" for parameter in entry.parameters
    )


def catalogue_table() -> str:
    """Return the catalogue: one row a fault."""
    rows = [
        (
            f"`{entry.fault}`",
            entry.level,
            ", ".join(framing.upper() for framing in Framing if framing in entry.framings),
            entry.effect,
            entry.required,
            _parameters(entry),
        )
        for entry in CATALOGUE.values()
    ]
    head = (
        "Fault",
        "Acts on",
        "Framing",
        "What happens",
        "What a client must make of it",
        "Parameters (default)",
    )
    return _table(head, rows)


def links_table(tcp: Mapping[str, LinkResult], rtu: Mapping[str, LinkResult]) -> str:
    """Return what the link made of every fault on the wire."""
    names = [*tcp, *(name for name in rtu if name not in tcp)]
    rows = [
        (name, str(tcp.get(name, "does not exist")), str(rtu.get(name, "does not exist"))) for name in names
    ]
    return _table(("Fault", "Modbus TCP", "RTU over TCP"), rows)


def sessions_table(results: Mapping[str, SessionResult]) -> str:
    """Return what a session told of every fault, and how it came back."""
    return _table(
        ("Fault", "During the fault", "After it"),
        [(name, result.told, result.recovery) for name, result in results.items()],
    )


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with the content between its marks replaced; ``ValueError`` where a mark is missing."""
    for name, table in tables.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{DOCUMENT.name} has no {begin} ... {end}; put the marks back")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


async def _run() -> dict[str, str]:
    tcp, rtu, sessions = await asyncio.gather(run_links(Framing.TCP), run_links(Framing.RTU), run_sessions())
    return {
        "catalogue": catalogue_table(),
        "links": links_table(tcp, rtu),
        "sessions": sessions_table(sessions),
    }


def main() -> None:
    """Run everything and write the document."""
    tables = asyncio.run(_run())
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
