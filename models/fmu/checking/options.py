"""How an FMU is tried: what the user asks for, and the run that follows from it and from the FMU's description."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.errors import FmuMappingError
from models.fmu.base import FmuInfo, Interface, Value

__all__ = ["MOST_STEPS", "CheckOptions", "TrialTimes", "trial_times"]

MOST_STEPS = 1000
"""Steps of a trial run where the user does not give its length."""
_USUAL_STEPS = 100
_USUAL_STEP_S = 60.0
"""Without a default experiment: the step that most scenarios have."""
_WHOLE = 1e-6
"""A stop time is a whole number of steps within this share of a step."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What the user asks for."""

    stop_s: float | None = None
    """Length of a trial run; None: of the FMU's default experiment, at most ``MOST_STEPS`` steps."""
    step_s: float | None = None
    """Communication step; None: of the FMU, else a hundredth of its default experiment, else 60 s."""
    interface: Interface = Interface.AUTO
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """Parameters and start values by variable; inputs keep them through the run."""
    trusted: bool = False
    """Run in this process instead of one of its own."""
    timeout_s: float = 60.0
    """A check that takes longer counts as hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTimes:
    """Step and length of a trial run."""

    step_s: float
    n_steps: int
    is_stated: bool
    """Whether the user or the FMU gives the step; otherwise it is a guess."""
    note: str = ""
    """Where the run is shorter than the FMU's default experiment."""

    @property
    def stop_s(self) -> float:
        """End of the run."""
        return self.n_steps * self.step_s


def trial_times(info: FmuInfo, options: CheckOptions) -> TrialTimes:
    """Return the step and length of the trial runs.

    Raises:
        FmuMappingError: a time is not a positive number, or the run is shorter than a step.
    """
    for name, value in (("step", options.step_s), ("stop", options.stop_s)):
        if value is not None and not 0 < value < float("inf"):
            raise FmuMappingError(f"{name} of {value:g} s: must be a positive number of seconds")
    stop_s = options.stop_s if options.stop_s is not None else info.default_stop_s
    if stop_s is not None and stop_s <= 0:
        stop_s = None
    own_s = next((s for s in (info.fixed_step_s, info.default_step_s) if s is not None and s > 0), None)
    stated_s = own_s if options.step_s is None else options.step_s
    guess_s = _USUAL_STEP_S if stop_s is None else stop_s / _USUAL_STEPS
    step_s = guess_s if stated_s is None else stated_s
    n_steps = _USUAL_STEPS if stop_s is None else int(stop_s / step_s + _WHOLE)
    if n_steps < 1:
        raise FmuMappingError(
            f"stop of {stop_s:g} s: is shorter than a step of {step_s:g} s; give a shorter step"
        )
    note = ""
    if options.stop_s is None and n_steps > MOST_STEPS:
        note = f"the first of the {n_steps} steps of the FMU's default experiment"
        n_steps = MOST_STEPS
    return TrialTimes(step_s=step_s, n_steps=n_steps, is_stated=stated_s is not None, note=note)
