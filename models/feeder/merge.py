"""Several networks in one, each with its own upstream grid.

The networks are joined as pandapower networks and compiled as one, so that every engine, the reference among them, solves
the same thing. No branch leads from one to another.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pandapower.toolbox import merge_nets

from models.errors import FeederError
from models.feeder.base import FloatArray
from models.feeder.layout import read_coordinates
from models.feeder.names import listing, unique_names
from models.feeder.preparation import validate
from models.feeder.sources import library_warnings_ignored

__all__ = ["join_nets"]

_NAMED = ("bus", "line", "load", "sgen", "storage")
_LARGEST_RATIO = 30.0
"""A network drawn this many times smaller than another one is a dot."""
_WIDEST_MAP = 2.0
"""Largest width of a map with true distances, in widths of all networks together."""
_GAP = 0.15
"""Space between networks that are moved next to each other, in widths of the right one."""
_ZERO_WHERE_MISSING = frozenset(
    ("g_us_per_km", "const_z_p_percent", "const_i_p_percent", "const_z_q_percent", "const_i_q_percent")
)
_NO_ELEMENTS = ("profiles", "loadcases", "substation")
_EMPTIED = ("measurement", "group", "poly_cost", "pwl_cost")


def join_nets(nets: Sequence[Any], sources: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """Return one pandapower network that holds ``nets`` side by side, and notes for the report.

    Elements keep their names; where an earlier network has the name already, `` @2`` is added in the second network,
    `` @3`` in the third. ``nets`` are not changed.

    Args:
        nets: pandapower networks, at least one.
        sources: what the user wrote to get each of them.

    Raises:
        FeederError: a network is no feeder by itself, or two of them cannot stand side by side (different frequencies,
            different profiles of one name).
    """
    notes = [f"Joined from {len(nets)} networks, each with its own upstream grid: {listing(sources)}."]
    for net, source in zip(nets, sources, strict=True):
        validate(net, source)
    taken: dict[str, set[str]] = {}
    renamed = [
        _with_names(net, taken, number=number, source=source, notes=notes)
        for number, (net, source) in enumerate(zip(nets, sources, strict=True), start=1)
    ]
    notes += _arrange(renamed)
    joined = renamed[0]
    for further, source in zip(renamed[1:], sources[1:], strict=True):
        if further.f_hz != joined.f_hz:
            raise FeederError(
                f"{source}: the network runs at {further.f_hz:g} Hz, {sources[0]} at {joined.f_hz:g} Hz; networks side by "
                "side need one frequency"
            )
        joined = _merged(joined, further, source)
    profiles = _joined_profiles(nets, sources)
    if profiles:
        joined["profiles"] = profiles
    joined["name"] = " + ".join(
        net.name if isinstance(net.get("name"), str) and net.name else source
        for net, source in zip(nets, sources, strict=True)
    )
    return joined, tuple(notes)


def _with_names(net: Any, taken: dict[str, set[str]], *, number: int, source: str, notes: list[str]) -> Any:
    """Return a copy of ``net`` without what a feeder does not need, its names different from those ``taken``."""
    own = type(net)({key: value for key, value in net.items() if key not in _NO_ELEMENTS})
    for table in _EMPTIED:
        if table in own:
            own[table] = own[table].iloc[0:0]
    changed: list[str] = []
    for table in _NAMED:
        names = unique_names(own[table]["name"].tolist(), own[table].index.tolist(), table)
        own[table] = _named(own[table], _fresh(names, taken.setdefault(table, set()), number, changed))
    two, three = own["trafo"], own["trafo3w"]
    rows = [*two.index, *(len(two) + row for row in three.index)]
    names = unique_names([*two["name"], *three["name"]], rows, "trafo")
    fresh = _fresh(names, taken.setdefault("trafo", set()), number, changed)
    own["trafo"], own["trafo3w"] = _named(two, fresh[: len(two)]), _named(three, fresh[len(two) :])
    if changed:
        notes.append(
            f"{len(changed)} name(s) of {source} occur in an earlier network and end in ' @{number}': {listing(changed)}."
        )
    return own


def _named(frame: Any, names: Sequence[str]) -> Any:
    return frame.assign(name=np.array(names, dtype=object))


def _fresh(names: Sequence[str], taken: set[str], number: int, changed: list[str]) -> list[str]:
    """Return ``names`` with a suffix where they are ``taken``, and take them."""
    result = []
    own = set(names)
    for name in names:
        fresh = name
        while fresh in taken or (fresh != name and fresh in own):
            fresh = f"{fresh} @{number}"
        if fresh != name:
            changed.append(fresh)
        result.append(fresh)
    taken.update(result)
    return result


def _arrange(nets: Sequence[Any]) -> tuple[str, ...]:
    """Make the coordinates of the networks fit on one map, and say in a note what that took; changes their tables."""
    places = [read_coordinates(net["bus"]["geo"].tolist()) if "geo" in net["bus"] else None for net in nets]
    points = [np.column_stack(place) for place in places if place is not None]
    if not points:
        return ()  # the layout is generated anyway
    width = [float(np.ptp(each, axis=0).max()) for each in points]
    if len(points) < len(nets) or max(width) > _LARGEST_RATIO * min(width):
        for net in nets:
            net["bus"] = net["bus"].assign(geo=None)
        return ("The networks have no coordinates for one map, so they are drawn as generated trees.",)
    every = np.concatenate(points)
    apart = len(np.unique(every, axis=0)) == sum(len(np.unique(each, axis=0)) for each in points)
    if apart and np.ptp(every, axis=0).max() <= _WIDEST_MAP * sum(width):
        return ()
    right = points[0][:, 0].max()
    centre_y = _middle(points[0])[1]
    for net, each, own_width in zip(nets[1:], points[1:], width[1:], strict=True):
        shift = np.array([right + _GAP * own_width - each[:, 0].min(), centre_y - _middle(each)[1]])
        moved = each + shift
        right = moved[:, 0].max()
        net["bus"] = net["bus"].assign(
            geo=[json.dumps({"type": "Point", "coordinates": xy}) for xy in moved.tolist()]
        )
    return ("On the map the networks are moved next to each other; each keeps its shape and scale.",)


def _middle(points: FloatArray) -> FloatArray:
    """Return the middle of the box around ``points``, shape (2,)."""
    middle: FloatArray = (points.min(axis=0) + points.max(axis=0)) / 2
    return middle


def _merged(net: Any, further: Any, source: str) -> Any:
    _align_columns(net, further)
    try:
        with library_warnings_ignored():
            return merge_nets(
                net,
                further,
                validate=False,
                merge_results=False,
                std_prio_on_net1=True,
                net2_reindex_log_level=None,
            )
    except (LookupError, ValueError, TypeError, UserWarning) as error:
        raise FeederError(
            f"{source}: pandapower cannot join it with the networks before ({type(error).__name__}: {error}); join them "
            "yourself and give the file as the source"
        ) from error


def _align_columns(net: Any, further: Any) -> None:
    """Give both networks the same columns where a gap would not mean "nothing" to pandapower; changes their tables."""
    for table, frame in further.items():
        if table.startswith(("_", "res_")) or not hasattr(frame, "columns") or table not in net:
            continue
        if len(net[table]) == 0:
            net[table] = frame.iloc[0:0]  # an empty table has no types to keep
            continue
        for one, other in ((net, further), (further, net)):
            one[table] = _aligned(one[table], other[table])


def _aligned(frame: Any, other: Any) -> Any:
    """Return ``frame`` with no gap where ``other`` has a switch (off then) or a number that pandapower adds up (0 then)."""
    filled: dict[str, Any] = {}
    for column in other.columns:
        if other[column].dtype == np.bool_:
            given = frame[column].tolist() if column in frame else [False] * len(frame)
            # a missing switch is None or NaN, both unequal to 1
            filled[column] = np.array([value == 1 for value in given], dtype=np.bool_)
        elif column in _ZERO_WHERE_MISSING and column not in frame:
            filled[column] = np.zeros(len(frame))
    return frame.assign(**filled)


def _joined_profiles(nets: Sequence[Any], sources: Sequence[str]) -> dict[str, Any]:
    """Return the profile tables of all networks; a name has to mean the same everywhere."""
    joined: dict[str, Any] = {}
    for net, source in zip(nets, sources, strict=True):
        tables = net.get("profiles")
        for table, frame in (tables if isinstance(tables, dict) else {}).items():
            if len(frame) == 0:
                continue
            if table not in joined:
                joined[table] = frame
                continue
            known = joined[table]
            different = [
                column
                for column in frame.columns
                if column in known and not np.array_equal(frame[column].to_numpy(), known[column].to_numpy())
            ]
            if different:
                raise FeederError(
                    f"{source}: its {table} profiles {listing(different)} differ from those of the same name in the networks "
                    "before; rename them in the network file"
                )
            added = [column for column in frame.columns if column not in known]
            joined[table] = known.assign(**{column: frame[column].to_numpy() for column in added})
    return joined
