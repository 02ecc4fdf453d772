"""Checks of how the results depend on the communication step, and on the solver."""

import time

from models.errors import ModelError
from models.fmu.base import Interface
from models.fmu.checking.report import Finding
from models.fmu.checking.trial import Run, Trial, relative_difference

__all__ = ["model_exchange", "step_size"]

_GOOD = 0.01
"""Runs that are closer than this share of an output's range agree."""
_GOOD_SOLVED = 2 * _GOOD
"""The error of a method of first order is twice what halving the step changes."""
_NONE = 1e-7
"""Rounding."""
_WRONG = 1.0
"""A run that is further off than the whole range of an output is wrong."""
_MOST_HALVINGS = 12
_BUDGET_S = 15.0
_SHARE_OF_TIMEOUT = 0.25
_WHOLE = 1e-9
_MANY = 100.0
"""From here on a share is said as a factor."""


def step_size(trial: Trial) -> Finding:
    """Halve the communication step, at least twice, until the results settle."""
    step_s, fixed_s = trial.times.step_s, trial.info.fixed_step_s
    if fixed_s is not None and abs(step_s / 2 / fixed_s - round(step_s / 2 / fixed_s)) > _WHOLE:
        return Finding.skipped(
            f"has a fixed step of {fixed_s:g} s; half of {step_s:g} s is not a whole number of them"
        )
    runs, apart = _halved(trial)
    if not apart:
        return Finding.skipped(
            f"a step takes {trial.base.seconds_per_step:.3g} s: no time for smaller ones",
            "try with a shorter --stop-s",
        )
    if max(apart) < _NONE:
        return Finding.passed(f"the outputs do not depend on the step ({step_s:g} s and less)")
    if max(apart) <= _GOOD:
        words = " and ".join(f"{100 * share:.2g} %" for share in apart[:2])
        name, _ = _worst(trial, runs[0], runs[1])
        return Finding.passed(f"halving the step once and again changes {name} most, by {words} of its range")
    return _unsettled(trial, runs, apart)


def _unsettled(trial: Trial, runs: list[Run], apart: list[float]) -> Finding:
    """Return what is wrong with the step, and the one from which the results settle."""
    step_s = trial.times.step_s
    name, first = _worst(trial, runs[0], runs[1])
    seen = f"half the step of {step_s:g} s changes {name} by {_percent(first)}"
    if apart[-1] > _GOOD:
        return Finding.warning(
            f"{seen}; at {step_s / 2 ** len(apart):g} s a halving still changes an output by {_percent(apart[-1])}",
            f"give a smaller --step-s{_or_model_exchange(trial)}",
        )
    good_s = step_s / 2 ** (len(apart) - 1)
    remedy = f"write `step: {good_s:g} s` in the scenario{_or_model_exchange(trial)}"
    worst, off = _worst(trial, runs[0], runs[-1])
    if off > _WRONG:
        found = Finding.failed if trial.times.is_stated else Finding.warning
        return found(
            f"at a step of {step_s:g} s {worst} is off by {_percent(off)}, with status OK; from "
            f"{good_s:g} s on the results settle",
            remedy,
        )
    return Finding.warning(f"{seen}; from {good_s:g} s on the results settle", remedy)


def model_exchange(trial: Trial) -> Finding:
    """Compare with Model Exchange, solved by CVode."""
    if trial.interface is not Interface.CO_SIMULATION:
        return Finding.skipped("Model Exchange is what is tried")
    if trial.info.model_exchange is None:
        return Finding.skipped("has no Model Exchange interface to compare with")
    try:
        solved = trial.run(interface=Interface.MODEL_EXCHANGE)
    except ModelError as error:
        return Finding.skipped(f"Model Exchange could not be run: {error}")
    name, share = _worst(trial, trial.base, solved)
    if share <= _GOOD:
        return Finding.passed(
            f"Co-Simulation and CVode differ by at most {100 * share:.2g} % of a range ({name})"
        )
    return Finding.warning(
        f"{name} of Co-Simulation is off by {_percent(share)} from Model Exchange solved by CVode",
        "write a smaller `step:` or `interface: model_exchange` in the scenario",
    )


def _halved(trial: Trial) -> tuple[list[Run], list[float]]:
    """Return runs at 1, 1/2, 1/4 ... of the step and how far each is from the one before it, while time allows."""
    runs, apart = [trial.base], list[float]()
    left_s = min(_BUDGET_S, _SHARE_OF_TIMEOUT * trial.options.timeout_s)
    for halvings in range(1, _MOST_HALVINGS + 1):
        refined = 2**halvings
        if runs[-1].seconds_per_step * trial.times.n_steps * refined > left_s:
            break
        begin = time.monotonic()
        runs.append(trial.run(refined=refined))
        left_s -= time.monotonic() - begin
        apart.append(_worst(trial, runs[-2], runs[-1])[1])
        if halvings > 1 and apart[-1] <= _GOOD:
            break
    return runs, apart


def _worst(trial: Trial, one: Run, other: Run) -> tuple[str, float]:
    shares = relative_difference(one, other)
    place = int(shares.argmax())
    return trial.watched[place].name, float(shares[place])


def _percent(share: float) -> str:
    return f"{100 * share:.2g} % of its range" if share < _MANY else f"{share:.1e} times its range"


def _or_model_exchange(trial: Trial) -> str:
    if trial.interface is Interface.CO_SIMULATION and trial.info.model_exchange is not None:
        return ", or use `interface: model_exchange`"
    return ""
