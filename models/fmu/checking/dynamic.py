"""Checks that run the FMU through the engines that a scenario uses."""

import numpy as np

from models.errors import StateError
from models.fmu.base import FloatArray
from models.fmu.checking.report import Finding
from models.fmu.checking.trial import Trial

__all__ = ["bounds", "fleet", "instances", "loads", "outputs", "repeats", "state", "steps"]

_NAMED = 3
"""Variables that a message names; more are counted."""
_ALONE = "devices of a fleet would disturb each other; use the FMU for one device only, and tell its author"
_NO_RESTART = "do not use on_failure: restart with this FMU, and tell its author"
_SMALLER = "try a smaller --step-s, or --interface model_exchange where the FMU has it"


def loads(trial: Trial) -> Finding:
    """Load the library, instantiate and initialise."""
    with trial.engine():
        pass
    return Finding.passed("library loaded; instantiated, initialised, terminated and freed")


def outputs(trial: Trial) -> Finding:
    """Read all outputs before the first step."""
    with trial.engine() as engine:
        values = engine.outputs()
    if not trial.watched:
        return Finding.warning(
            "has no output and no continuous local variable that is a number",
            "an FMU without outputs cannot act on the grid; export it with its power as an output",
        )
    wrong = _not_finite(trial, values)
    if wrong:
        return Finding.failed(
            f"before the first step {wrong}",
            "give the start values and parameters that the model needs (--set)",
        )
    if not any(entry.causality == "output" for entry in trial.watched):
        return Finding.warning(
            f"has no outputs; {len(values)} local variables read and finite",
            "local variables can be mapped too; an output is safer, as some tools leave locals out",
        )
    return Finding.passed(f"{len(values)} read and finite")


def steps(trial: Trial) -> Finding:
    """Run with the inputs held at their start values."""
    times = trial.times
    run = trial.base
    finite = np.isfinite(run.values).all(axis=(1, 2))
    if not finite.all():
        first = int(np.argmin(finite))
        return Finding.failed(
            f"at {first * times.step_s:g} s {_not_finite(trial, run.values[first])}, with status OK", _SMALLER
        )
    speed = f"{run.seconds_per_step * 1e6:.0f} us a step"
    seen = f"{times.n_steps} steps of {times.step_s:g} s to {times.stop_s:g} s, {speed}"
    if (run.values == run.values[0]).all():
        seen += "; no output moves with the inputs at their start values: --set NAME=VALUE makes the checks say more"
    return Finding.passed(seen)


def bounds(trial: Trial) -> Finding:
    """Compare with the attributes min and max of the outputs."""
    low, high = ([getattr(entry, side) for entry in trial.watched] for side in ("low", "high"))
    lows = np.array([-np.inf if value is None else value for value in low])[:, np.newaxis]
    highs = np.array([np.inf if value is None else value for value in high])[:, np.newaxis]
    slack = [
        [
            [0.0 if value is None else entry.rounding(value)]
            for entry, value in zip(trial.watched, side, strict=True)
        ]
        for side in (low, high)
    ]
    if not (np.isfinite(lows) | np.isfinite(highs)).any():
        return Finding.skipped("the outputs have no attributes min and max")
    outside = (trial.base.values < lows - slack[0]) | (trial.base.values > highs + slack[1])
    if not outside.any():
        return Finding.passed("outputs stay within their min and max")
    step, place, _ = np.argwhere(outside)[0]
    variable = trial.watched[place]
    value = trial.base.values[step, place].max()
    return Finding.failed(
        f"{variable.name} = {value:g} at {step * trial.times.step_s:g} s is outside its own "
        f"[{lows[place, 0]:g}, {highs[place, 0]:g}]; a run would stop there",
        f"{_SMALLER}, or mend min and max in the model",
    )


def repeats(trial: Trial) -> Finding:
    """Run again with the same inputs."""
    again = trial.run()
    different = _different(trial, trial.base.values, again.values)
    if different:
        return Finding.warning(
            f"a second run with the same inputs gives other values of {different}",
            "results cannot be repeated; look for random numbers, the clock or files that the model reads",
        )
    return Finding.passed("a second run gives the same values bit for bit")


def instances(trial: Trial) -> Finding:
    """Run one instance beside another that stands still, then the other."""
    if trial.info.once_per_process:
        return Finding.skipped(
            "may be instantiated only once per process: each device gets a copy of its own"
        )
    n_steps = trial.times.n_steps
    with trial.engine() as one, trial.engine() as other:
        before = other.outputs()[np.newaxis]
        trial.advance(one, first=0, stop=n_steps)
        if different := _different(trial, before, other.outputs()[np.newaxis]):
            return Finding.failed(f"running one instance changes another: {different}", _ALONE)
        values = np.concatenate([before, trial.advance(other, first=0, stop=n_steps)])
    if different := _different(trial, trial.base.values, values):
        return Finding.failed(f"an instance beside another gives other values of {different}", _ALONE)
    return Finding.passed("two instances do not disturb each other")


def fleet(trial: Trial) -> Finding:
    """Run three devices as a fleet."""
    run = trial.run(size=3)
    if different := _different(trial, trial.base.values, run.values):
        return Finding.failed(
            f"three devices with the same inputs differ from one alone in {different}",
            _ALONE,
        )
    how = "one array" if trial.array_size is not None else "three instances"
    return Finding.passed(f"{how}: three devices give what one gives")


def state(trial: Trial) -> Finding:
    """Save in the middle, go on, go back and go on again; then the same in a fresh instance."""
    info = trial.info
    if not (info.can_save_state and info.can_serialise_state):
        return Finding.skipped(
            "does not offer to serialise its state", "a run with this FMU cannot use on_failure: restart"
        )
    stop = trial.times.n_steps
    middle = stop // 2
    try:
        with trial.engine() as engine:
            trial.advance(engine, first=0, stop=middle)
            saved = engine.save()
            first = trial.advance(engine, first=middle, stop=stop)
            engine.restore(saved)
            second = trial.advance(engine, first=middle, stop=stop)
        with trial.engine() as fresh:
            fresh.restore(saved)
            third = trial.advance(fresh, first=middle, stop=stop)
    except StateError as error:
        return Finding.warning(f"claims to save its state, but: {error}", _NO_RESTART)
    for values, where in ((second, "the same instance"), (third, "a fresh instance")):
        if different := _different(trial, first, values):
            return Finding.warning(f"after going back in {where}, other values of {different}", _NO_RESTART)
    return Finding.passed(
        f"{len(saved)} bytes; going on from it is equal bit for bit, also in a fresh instance"
    )


def _not_finite(trial: Trial, values: FloatArray) -> str:
    """Return the variables whose values, shape (variables, devices), are not finite; '' if all are."""
    bad = [
        f"{entry.name} = {row[~np.isfinite(row)][0]:g}"
        for entry, row in zip(trial.watched, values, strict=True)
        if not np.isfinite(row).all()
    ]
    return _some(bad)


def _different(trial: Trial, one: FloatArray, other: FloatArray) -> str:
    """Return the variables that are not equal bit for bit; '' if all are."""
    same = (one == other).all(axis=(0, 2))
    return _some([entry.name for entry, equal in zip(trial.watched, same, strict=True) if not equal])


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
