"""FMUs of the user: an ``fmu:`` block becomes a fleet, checked against what the FMU says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.errors import FmuError
from models.fmu.base import FleetSpec, FmuInfo, Interface, OnFailure
from models.fmu.engine import chosen_interface
from models.fmu.reading.description import read_info
from twin.assembly.drafts import EntryError
from twin.assembly.fmu_checks import array_problem, whole_problems
from twin.assembly.fmu_parameters import parameter_values
from twin.assembly.fmu_wiring import Site, Wiring
from twin.scenario.fmu import FmuSpec

__all__ = ["UserFleet", "origin", "user_fleet"]

_IN_WORDS: Mapping[Interface, str] = {
    Interface.CO_SIMULATION: "Co-Simulation",
    Interface.MODEL_EXCHANGE: "Model Exchange",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class UserFleet:
    """A checked fleet."""

    spec: FleetSpec
    record: tuple[tuple[str, str], ...]
    """Outputs to store: name, unit."""
    origin: str
    """As :func:`origin` says it."""
    notes: tuple[str, ...]
    """Sentences for the report: where the scenario contradicts what the FMU says."""


def origin(spec: FleetSpec, info: FmuInfo, *, dt_s: float) -> str:
    """Return, for the manifest, which FMU runs a fleet: file, fingerprint, tool, interface, and where it runs.

    Its step is said where it is not ``dt_s``, the step of the run.
    """
    interface = _IN_WORDS[chosen_interface(info, spec)]
    number = f"one instance for all {spec.size}" if spec.array_size is not None else "an instance each"
    place = "in this process" if spec.trusted else "in a process of its own"
    tool = info.generation_tool or "a tool that is not named"
    steps = "" if spec.step_s is None or spec.step_s == dt_s else f", steps of {spec.step_s:g} s"
    return (
        f"the FMU {info.file.name} (sha256 {info.sha256[:12]}, FMI {info.fmi_version} of {tool}, {interface}{steps}, "
        f"{number}, {place})"
    )


def user_fleet(given: FmuSpec, site: Site) -> UserFleet:
    """Return the fleet that an ``fmu:`` block describes.

    Raises:
        EntryError: with every mistake; paths start below the block.
    """
    info = _info(given, site)
    bare = FleetSpec(
        label=site.label,
        file=site.file,
        size=site.size,
        inputs=(),
        outputs=(),
        interface=Interface(given.interface),
        step_s=given.step,
        trusted=given.trusted,
        on_failure=OnFailure(given.on_failure),
        timeout_s=given.timeout,
    )
    problems = [*whole_problems(bare, info, dt_s=site.dt_s)]
    bad_array = None if given.array is None else array_problem(given.array, info, size=site.size)
    if bad_array is not None:
        problems.append((("array",), bad_array))
    parameters, bad_parameters = parameter_values(given, info, bare=bare)
    wiring = Wiring(given, site, info, check_sizes_by=given.array if bad_array is None else None)
    problems += [*bad_parameters, *wiring.problems]
    if problems:
        raise EntryError(problems)
    spec = replace(
        bare,
        inputs=wiring.inputs,
        outputs=(*wiring.outputs, *wiring.recorded),
        parameters={**wiring.starts, **parameters, **wiring.fixed},
        array_size=given.array,
    )
    return UserFleet(
        spec=spec,
        record=wiring.record,
        origin=origin(spec, info, dt_s=site.dt_s),
        notes=tuple(wiring.notes),
    )


def _info(given: FmuSpec, site: Site) -> FmuInfo:
    interface = Interface(given.interface)
    try:
        info = read_info(site.file)
        if interface is Interface.MODEL_EXCHANGE and info.model_exchange is not None:
            return read_info(site.file, interface=interface)  # its own capabilities
    except FmuError as error:
        raise EntryError([(("file",), str(error))]) from error
    return info
