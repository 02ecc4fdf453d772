"""Checks that talk to one instance directly, without an engine between."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from models.errors import FmuError
from models.fmu.base import FmuVariable, Interface
from models.fmu.binding.instances import make_instance
from models.fmu.binding.logs import MessageLog, status_name
from models.fmu.binding.start_values import Mode, sizes_of, start_values, values_per_device
from models.fmu.binding.transfers import suffix_of
from models.fmu.checking.report import Finding
from models.fmu.checking.trial import Trial, surroundings
from models.fmu.fmpy_access import fmpy_module

__all__ = ["NO_RESET", "bad_reference", "process_kept", "reset", "starts_hold"]

_UNUSED = 1_000_003
"""Added to the largest value reference: no variable has it."""
_NAMED = 3
NO_RESET = "runs make fresh instances and never reset; only other tools are concerned"
_FLOAT32 = 1e-6
"""Relative accuracy of a start value in single precision."""


def starts_hold(trial: Trial) -> Finding:
    """Read back what inputs and parameters start with."""
    stated = [entry for entry in trial.info.variables if _states_its_start(entry, trial)]
    if not stated:
        return Finding.skipped("no input or parameter states a start value")
    with _initialised(trial) as made:
        values = [_get(made, trial, entry) for entry in stated]
    other = [
        f"{entry.name} = {' '.join(map(_text, read))} instead of {entry.start}"
        for entry, read in zip(stated, values, strict=True)
        if not _same(entry, read)
    ]
    if other:
        more = f" and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        return Finding.warning(
            f"after initialisation {', '.join(other[:_NAMED])}{more}",
            "the description and the binary differ; set these values yourself where they matter",
        )
    return Finding.passed(f"{len(stated)} of inputs and parameters read back as described")


def reset(trial: Trial) -> Finding:
    """Reset after a few steps and initialise again."""
    with _initialised(trial) as made:
        before = [_get(made, trial, entry) for entry in trial.watched]
        _move(made, trial)
        made.reset()
        _initialise(made, trial)
        after = [_get(made, trial, entry) for entry in trial.watched]
    if before != after:
        names = [entry.name for entry in trial.watched]
        wrong = [name for name, one, two in zip(names, before, after, strict=True) if one != two]
        return Finding.warning(f"after a reset other values of {', '.join(wrong[:_NAMED])}", NO_RESET)
    return Finding.passed("after a reset all outputs are as at the start")


def bad_reference(trial: Trial) -> Finding:
    """Read a variable that does not exist."""
    reference = max(entry.value_reference for entry in trial.info.variables) + _UNUSED
    kind = "Real" if _version(trial) == "2" else "Float64"
    with _initialised(trial) as made:
        try:
            getattr(made, f"get{kind}")([reference])
        except _call_error() as error:
            return Finding.passed(f"value reference {reference} is refused with {status_name(error.status)}")
    return Finding.warning(
        f"value reference {reference} is no variable and is read with status OK",
        "a mistake in a mapping would not be noticed by the FMU; names are checked before a run all the same",
    )


def process_kept(trial: Trial) -> Finding:
    """Look for what the FMU has changed in the process since the first check."""
    with trial.engine() as engine:
        trial.advance(engine, first=0, stop=1)
    before, after = trial.before, surroundings()
    changed = [
        f"{name} from {before[name]} to {after[name]}" for name in before if before[name] != after[name]
    ]
    if changed:
        return Finding.warning(f"changes the {', '.join(changed)}", "do not run it as trusted")
    return Finding.passed(f"{' and '.join(before)} are as before")


@contextmanager
def _initialised(trial: Trial) -> Iterator[Any]:
    """Yield one initialised instance and free it; a status above warning becomes an error with the FMU's words."""
    log = MessageLog()
    made = make_instance(trial.unpacked, name="checked", kind=trial.interface.value, log=log)
    try:
        _initialise(made, trial)
        yield made
    except _call_error() as error:
        raise FmuError(f"{error.function} answered {status_name(error.status)}; {log.tail()}") from error
    finally:
        made.freeInstance()


def _call_error() -> Any:
    """Return what FMPy raises for a status above warning."""
    return fmpy_module("fmpy.fmi1").FMICallException


def _initialise(made: Any, trial: Trial) -> None:
    values = start_values(trial.info, replace(trial.spec(size=1), array_size=None))
    if values.has(Mode.CONFIGURATION):
        made.enterConfigurationMode()
        values.set(made, Mode.CONFIGURATION, device=0)
        made.exitConfigurationMode()
    values.set(made, Mode.INSTANTIATED, device=0)
    if _version(trial) == "2":
        made.setupExperiment(startTime=0.0)
        made.enterInitializationMode()
    else:
        made.enterInitializationMode(startTime=0.0)
    values.set(made, Mode.INITIALISATION, device=0)
    made.exitInitializationMode()


def _move(made: Any, trial: Trial) -> None:
    """Make two steps where the interface has steps."""
    if trial.interface is not Interface.CO_SIMULATION:
        return
    if _version(trial) == "3" and trial.info.has_event_mode:
        made.updateDiscreteStates()
        made.enterStepMode()
    for step in range(2):
        made.doStep(step * trial.times.step_s, trial.times.step_s)


def _version(trial: Trial) -> str:
    return trial.info.fmi_version[0]


def _get(made: Any, trial: Trial, variable: FmuVariable) -> tuple[Any, ...]:
    """Return all elements of a variable."""
    kind = "String" if variable.type == "String" else suffix_of(trial.info, variable)[0]
    read = getattr(made, f"get{kind}")
    if _version(trial) == "2":
        return tuple(read([variable.value_reference]))
    sizes = sizes_of(trial.info, {})
    return tuple(read([variable.value_reference], values_per_device(variable, sizes)))


def _states_its_start(variable: FmuVariable, trial: Trial) -> bool:
    return (
        variable.causality in {"input", "parameter", "structuralParameter"}
        and variable.start is not None
        and variable.type not in {"Binary", "Clock"}
        and variable.name not in trial.options.parameters
    )


def _same(variable: FmuVariable, values: tuple[Any, ...]) -> bool:
    """Return whether the elements that were read are the start values as written; one value stands for all."""
    start = "" if variable.start is None else variable.start
    if variable.type == "String":
        return len(values) != 1 or _text(values[0]) == start
    words = start.split()
    if len(words) not in {1, len(values)}:
        return False
    return all(
        _equal(variable, value, word)
        for value, word in zip(values, words * len(values) if len(words) == 1 else words, strict=True)
    )


def _equal(variable: FmuVariable, value: Any, word: str) -> bool:
    if variable.type == "Boolean":
        return bool(value) == (word.lower() in {"true", "1"})
    if variable.type == "Float32":
        return abs(float(value) - float(word)) <= _FLOAT32 * abs(float(word))
    return float(value) == float(word)


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
