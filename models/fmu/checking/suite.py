"""All checks of one FMU."""

from collections.abc import Callable, Iterator
from pathlib import Path

from models.errors import FmuArchiveError, FmuError
from models.fmu.base import FmuInfo, Interface, UnpackedFmu
from models.fmu.binding.transfers import find_variable
from models.fmu.checking.catalogue import CHECKS, made
from models.fmu.checking.options import CheckOptions, trial_times
from models.fmu.checking.process import checked_apart
from models.fmu.checking.report import CheckResult, Finding, FmuReport, Outcome
from models.fmu.checking.static import static_checks
from models.fmu.checking.trial import Trial
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info
from models.fmu.reading.platforms import library_file, this_machine

__all__ = ["check_fmu"]

_WORDS = {Interface.CO_SIMULATION: "Co-Simulation", Interface.MODEL_EXCHANGE: "Model Exchange with CVode"}


def check_fmu(
    file: Path,
    options: CheckOptions | None = None,
    *,
    watch: Callable[[CheckResult], None] | None = None,
) -> FmuReport:
    """Check an FMU: its archive and description, then what it does in trial runs.

    Args:
        file: the FMU.
        options: how it is tried.
        watch: called with each result as it comes.

    Raises:
        FmuMappingError: the options do not fit this FMU.
        FmuError: the process for the checks could not be run.
    """
    asked = CheckOptions() if options is None else options
    found: list[CheckResult] = []

    def keep(result: CheckResult) -> None:
        found.append(result)
        if watch is not None:
            watch(result)

    try:
        info = read_info(file, interface=asked.interface)
    except FmuArchiveError as error:
        remedy = "export the FMU again; do not run a file that is unsafe"
        keep(CheckResult.of("archive", "Archive", Finding.failed(str(error), remedy)))
        return _unread(file, found)
    except FmuError as error:
        remedy = "export the FMU as FMI 2.0 or 3.0 with Co-Simulation, or choose another --interface"
        keep(CheckResult.of("description", "Model description", Finding.failed(str(error), remedy)))
        return _unread(file, found)
    for name in asked.parameters:
        find_variable(info, name)
    keep(CheckResult.of("archive", "Archive", Finding.passed("safe to unpack")))
    for result in static_checks(info):
        keep(result)
    how = _tried(info, asked, keep)
    return FmuReport(
        file=str(file),
        sha256=info.sha256,
        model=info.model_name,
        fmi_version=info.fmi_version,
        how=how,
        checks=tuple(found),
    )


def _unread(file: Path, found: list[CheckResult]) -> FmuReport:
    return FmuReport(file=str(file), sha256="", model="", fmi_version="", how="", checks=tuple(found))


def _tried(info: FmuInfo, options: CheckOptions, keep: Callable[[CheckResult], None]) -> str:
    """Unpack the FMU, run it, and return how in words."""
    wants_simulation = options.interface is not Interface.MODEL_EXCHANGE
    interface = (
        Interface.CO_SIMULATION
        if wants_simulation and info.co_simulation is not None
        else Interface.MODEL_EXCHANGE
    )
    times = trial_times(info, options)
    with unpacked(info.file, info) as folder:
        platform = _platform(folder, interface)
        keep(CheckResult.of("platform", "Platform", platform))
        if platform.outcome is not Outcome.PASSED:
            return ""
        trial = Trial(unpacked=folder, options=options, interface=interface)
        for result in _run(trial):
            keep(result)
    note = f" ({times.note})" if times.note else ""
    where = "in this process" if options.trusted else "in a process of its own"
    return f"{_WORDS[interface]}, {times.n_steps} steps of {times.step_s:g} s{note}, {where}"


def _platform(folder: UnpackedFmu, interface: Interface) -> Finding:
    info = folder.info
    identifier = info.co_simulation if interface is Interface.CO_SIMULATION else info.model_exchange
    if identifier is None:
        raise FmuError(f"{info.file.name}: has no {_WORDS[interface]}")
    try:
        library = library_file(folder, identifier)
    except FmuArchiveError as error:
        return Finding.failed(str(error), "ask for an export for this platform")
    others = f"; the FMU has {', '.join(info.platforms)}"
    return Finding.passed(f"{library.parent.name} for this machine ({this_machine()}){others}")


def _run(trial: Trial) -> Iterator[CheckResult]:
    if not trial.options.trusted:
        yield from checked_apart(trial)
        return
    failed: set[str] = set()
    for check in CHECKS:
        result = made(check, trial, failed)
        if result.outcome is Outcome.FAILED:
            failed.add(check.id)
        yield result
