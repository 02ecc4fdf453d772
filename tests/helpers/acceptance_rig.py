"""A small inverter in the loop of a test, for acceptance tests: its power follows its limit, and it can misbehave."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guard_rig import ENABLED, LIMIT, MAP_TEXT, RATED_KW, SERIAL, InverterBank

from hil_adapters.acceptance.options import AcceptanceOptions
from hil_adapters.acceptance.results import AcceptanceResult, CheckResult, Outcome
from hil_adapters.acceptance.suite import run_acceptance
from hil_adapters.guard.messages import Limits
from hil_adapters.wire.base import Table, TcpTarget
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.server import ModbusServer

__all__ = [
    "FlakyBank",
    "FollowingBank",
    "ListeningBank",
    "Run",
    "accepted",
    "limited_map",
    "options_for",
    "serving",
    "written",
]

POWER = 22
AVAILABLE_W = 4000
_FAILURE = 4


@dataclass
class FollowingBank(InverterBank):
    """Feeds in 4 kW, or what its limit allows; every write is kept in ``log``."""

    log: list[dict[str, Any]] = field(default_factory=list)
    holds_for_ever: bool = False
    deaf: bool = False
    """Takes a limit and does not follow it."""

    def __post_init__(self) -> None:
        super().__init__(self.log.append)

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers; the power follows the limit."""
        self._revert()
        limit_w = RATED_KW * 10.0 * self.registers[LIMIT]
        bound = self.registers[ENABLED] == 1 and not self.deaf
        self.registers[POWER] = int(min(AVAILABLE_W, limit_w) if bound else AVAILABLE_W)
        return super().read(unit, table, address, count)

    def _revert(self) -> None:
        if not self.holds_for_ever:
            super()._revert()


def limited_map(folder: Path, *changes: tuple[str, str], timeout_s: float = 1.0) -> Path:
    """Write the map of the inverter with a watchdog of ``timeout_s`` [s]; ``changes`` replace text."""
    text = MAP_TEXT.replace("timeout_s: 2,", f"timeout_s: {timeout_s:g},")
    for old, new in changes:
        assert old in text, f"{old!r} is not in the map"
        text = text.replace(old, new)
    file = folder / "guarded.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def options_for(map_file: Path, port: int, **changes: Any) -> AcceptanceOptions:
    """Return the options of a quick test of the inverter that writes within 0.5 to 3 kW."""
    settings: dict[str, Any] = {
        "map_file": map_file,
        "target": TcpTarget(host="127.0.0.1", port=port),
        "unit": 1,
        "folder": map_file.parent / "evidence",
        "serial": SERIAL,
        "confirmation": SERIAL,
        "limits": {"p_limit_kw": Limits(low=0.5, high=3.0)},
        "seconds": 1.0,
        "poll_s": 0.1,
        "settle_s": 3.0,
    }
    return AcceptanceOptions(**(settings | changes))


@dataclass
class Run:
    """One test and what the device saw of it."""

    result: AcceptanceResult
    bank: FollowingBank
    folder: Path

    def check(self, name: str) -> CheckResult:
        """Return the check of this name."""
        return next(check for check in self.result.results if check.name == name)

    def names(self, outcome: Outcome) -> list[str]:
        """Return the checks that ended so."""
        return [check.name for check in self.result.results if check.outcome is outcome]

    def audit(self) -> list[dict[str, Any]]:
        """Return the lines of the audit."""
        text = (self.folder / "audit.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@contextlib.asynccontextmanager
async def serving(bank: FollowingBank) -> AsyncIterator[int]:
    """Serve the inverter; gives its port."""
    server = ModbusServer(bank)
    port = await server.start()
    try:
        yield port
    finally:
        await server.stop()


def accepted(folder: Path, bank: FollowingBank, *, map_file: Path | None = None, **changes: Any) -> Run:
    """Test the inverter and return what came of it."""
    file = limited_map(folder) if map_file is None else map_file
    told: list[CheckResult] = []

    async def work() -> AcceptanceResult:
        async with serving(bank) as port:
            return await run_acceptance(options_for(file, port, **changes), watch=told.append)

    result = asyncio.run(work())
    assert tuple(told) == result.results, "every check is told as it is made"
    return Run(result, bank, folder / "evidence")


def written(log: Sequence[dict[str, Any]], address: int) -> list[int]:
    """Return the values that were written to a register, in order."""
    return [entry["values"][0] for entry in log if entry["address"] == address]


@dataclass
class ListeningBank(FollowingBank):
    """Lets go of its limit when nobody asks it anything for a second: its watchdog counts any request."""

    heard_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.heard_s = self._clock()

    def _revert(self) -> None:
        if self._clock() - self.heard_s >= 1.0:
            self.registers[ENABLED] = 0
        self.heard_s = self._clock()


@dataclass
class FlakyBank(FollowingBank):
    """Fails every tenth read with exception 4."""

    reads: int = 0

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers, or fail."""
        self.reads += 1
        if self.reads % 10 == 0:
            raise Refusal(_FAILURE)
        return super().read(unit, table, address, count)


@dataclass
class MuteBank(FollowingBank):
    """Has no power to tell."""

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers; the one of power holds the sign for a missing value."""
        found = super().read(unit, table, address, count)
        return [0x7FFF if address + at == POWER else value for at, value in enumerate(found)]
