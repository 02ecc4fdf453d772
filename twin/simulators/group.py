"""Several step cores as one simulator: what passes between them does not go through mosaik.

mosaik's cost grows with the number of simulators and of values exchanged, not with what a simulator does; parts
that always step together are therefore one simulator. The wiring table stays the single description: a group
takes from it which values come from its own members, in this step or from the step before.
"""

from collections.abc import Mapping, Sequence

from twin.simulators.ports import Array, Port, StepCore
from twin.simulators.wiring import CONNECTIONS, Connection

__all__ = ["GROUPS", "Group", "group_of", "links"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "exogenous": ("clock", "exogenous"),
    "control": ("control",),
    "plant": ("devices", "feeder", "recorder"),
}
"""The simulators that mosaik sees, and the cores in each, in the order of the step."""


def group_of(core: str) -> str:
    """Return the group that a core belongs to."""
    return next(group for group, members in GROUPS.items() if core in members)


def links() -> tuple[Connection, ...]:
    """Return the connections between groups: the rows of the wiring table that leave a group, joined."""
    joined: dict[tuple[str, str, bool], dict[str, None]] = {}
    for row in CONNECTIONS:
        source, target = group_of(row.source), group_of(row.target)
        if source != target:
            joined.setdefault((source, target, row.delayed), {}).update(dict.fromkeys(row.keys))
    return tuple(
        Connection(source=source, target=target, keys=tuple(keys), delayed=delayed)
        for (source, target, delayed), keys in joined.items()
    )


class Group:
    """The cores of one group as one core."""

    def __init__(self, name: str, members: Sequence[StepCore], before_first: Mapping[str, Array]) -> None:
        """Find out where each member takes its values from.

        Args:
            name: Key in ``GROUPS``.
            members: In the order of the step; all with the same step length.
            before_first: What delayed signals carry in the first step.
        """
        self.name = name
        self.dt_s = members[0].dt_s
        self._members = tuple(members)
        own = {core.name for core in members}
        inside = [row for row in CONNECTIONS if row.source in own and row.target in own]
        self._delayed = {
            core.name: sorted(
                key for row in inside if row.delayed and row.target == core.name for key in row.keys
            )
            for core in members
        }
        fed = {(row.target, key) for row in inside for key in row.keys}
        wanted = {
            key for row in CONNECTIONS if row.source in own and row.target not in own for key in row.keys
        }
        outside = {
            port.name: port for core in members for port in core.inputs if (core.name, port.name) not in fed
        }
        self.inputs: tuple[Port, ...] = tuple(outside.values())
        self.outputs: tuple[Port, ...] = tuple(
            port for core in members for port in core.outputs if port.name in wanted
        )
        self._before: dict[str, Array] = {
            key: before_first[key] for keys in self._delayed.values() for key in keys
        }

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Step the members one after another."""
        present = dict(values)
        for core in self._members:
            delayed = self._delayed[core.name]
            taken = present if not delayed else {**present, **{key: self._before[key] for key in delayed}}
            present.update(core.advance(step, taken))
        for key in self._before:
            self._before[key] = present[key]
        return present
