"""What a device held before it was written to, and giving that back."""

from collections.abc import Sequence

from hil_adapters.acceptance.bench import Bench
from hil_adapters.acceptance.results import CheckResult, failed, not_applicable, passed
from hil_adapters.errors import GuardError, HilError
from hil_adapters.guard.contention import matches
from hil_adapters.guard.sequences import timers_of
from hil_adapters.maps.binding import release_writes, set_point_of
from hil_adapters.maps.schema import Access
from hil_adapters.samples import Quality

__all__ = ["Before", "before_writing"]


class Before:
    """The points of the commands that are tried, as they were before the test."""

    def __init__(
        self, bench: Bench, commands: Sequence[str], held: dict[str, float], owners: dict[str, str]
    ) -> None:
        self._bench, self._commands = bench, commands
        self._held, self._owners = held, owners
        self.in_force = self._found_in_force()
        """What somebody else has in force, in words; empty where nothing is."""

    def free(self) -> CheckResult:
        """Return whether nobody commands the device."""
        name = "nobody commands it"
        if self.in_force:
            return failed(
                name,
                f"{self.in_force}; another master commands the device: release it there, then repeat the test",
            )
        return passed(name, "nothing is in force that the test would disturb")

    async def probe(self) -> CheckResult:
        """Write the own value of a set-point that is not in force back to it."""
        name = "write access"
        for command in self._commands:
            point = str(set_point_of(self._bench.session.map, command).point)
            if point not in self._held:
                continue
            value = self._held[point]
            try:
                await self._bench.write_own_value(
                    command, point, value, why="its own value, to try write access"
                )
            except HilError as error:
                return failed(name, f"{point} does not take its own value {value:g} back: {error}")
            return passed(name, f"{point} takes its own value {value:g} back", value=point)
        return not_applicable(
            name, "no set-point of the tested commands can be read; its own value is not known"
        )

    async def restore(self) -> CheckResult:
        """Write back what differs from before, as far as the rules allow, and compare."""
        name, bench = "restore", self._bench
        left: list[str] = []
        written: list[str] = []
        for point, now in (await _values(bench, list(self._held))).items():
            before, tolerance = self._held[point], bench.session.map.writes[point].tolerance
            if matches(now, before, tolerance):
                continue
            try:
                await bench.write_own_value(
                    self._owners[point], point, before, why="as it was before the test"
                )
                written.append(f"{point} = {before:g}")
            except GuardError as error:
                if point in timers_of(bench.session.map, self._owners[point]):
                    written.append(
                        f"{point} stays at {now:g} (before {before:g}, which the rules do not let write)"
                    )
                else:
                    left.append(f"{point} holds {now:g}, before {before:g} ({error})")
            except HilError as error:
                left.append(f"{point} holds {now:g}, before {before:g} ({error})")
        if left:
            return failed(name, f"{'; '.join(left)}; set it by hand")
        told = "; ".join([f"{len(self._held)} points compared with before", *written])
        return passed(name, told if written else f"{told}, all the same")

    def _found_in_force(self) -> str:
        found = []
        for command in self._commands:
            for write in release_writes(self._bench.session.map, command):
                held = self._held.get(write.point)
                tolerance = self._bench.session.map.writes[write.point].tolerance
                if held is not None and not matches(held, write.value, tolerance):
                    found.append(f"{write.point} holds {held:g}, released it holds {write.value:g}")
        return "; ".join(dict.fromkeys(found))


async def before_writing(bench: Bench, commands: Sequence[str]) -> Before:
    """Read what the points of commands hold.

    Raises:
        HilError: they cannot be read.
    """
    register_map = bench.session.map
    readable = {point.name for point in register_map.points if point.access is not Access.WRITE}
    owners: dict[str, str] = {}
    for command in commands:
        sequence = register_map.commands[command]
        for write in (*sequence.writes, *sequence.release):
            point = str(write.point)
            if point in readable and point in register_map.writes:
                owners.setdefault(point, command)
    return Before(bench, commands, await _values(bench, list(owners)), owners)


async def _values(bench: Bench, names: Sequence[str]) -> dict[str, float]:
    """Return what points hold; those without a value are left out."""
    if not names:
        return {}
    samples = await bench.session.read(names)
    return {name: sample.value for name, sample in samples.items() if sample.quality is not Quality.BAD}
