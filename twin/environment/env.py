"""A prepared scenario as an environment of Gymnasium."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.control import Controller, Forecast, Observation, Proposal, Site
from twin.control.rules import NoControl
from twin.environment.actions import ActionLayout, Actions
from twin.environment.loop import StepLoop
from twin.environment.observations import ObservationLayout
from twin.environment.record import EpisodeRecord
from twin.environment.reward import CostAndVoltage, Reward, SharedEnergy, StepOutcome, outcome_of
from twin.environment.window import day_starts, part_of
from twin.errors import InputError
from twin.payment import stored_worth_eur_kwh
from twin.prepare import Prepared, prepare
from twin.scenario import LoadedScenario, load_scenario
from twin.simulators.recorder import Sink
from twin.units import energy_kwh

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ImportError(
        "twin.environment.TwinEnv needs gymnasium, which is optional; install it with: pip install 'gemello[gym]'"
    ) from error

__all__ = ["ENV_ID", "ControllerPolicy", "TwinEnv"]

Float32Array = NDArray[np.float32]
Info = dict[str, Any]

ENV_ID = "gemello/Feeder-v0"
"""``gymnasium.make("twin.environment.env:gemello/Feeder-v0", scenario=...)``."""


class TwinEnv(gymnasium.Env[Float32Array, Float32Array]):
    """One agent decides what the strategy of a run decides, on the same feeder, devices and days.

    It steps what a run steps, without mosaik: the same proposals give the same bits. An episode is the whole run, or
    some days of it that are drawn anew at each reset. It ends by truncation, because the data end and not the task;
    nothing terminates it earlier.

    One prepared scenario per thread: the power-flow engines keep scratch arrays, so environments that are stepped at
    the same time in threads of one process need a :func:`twin.prepare.prepare` each. One after the other they may
    share one.

    Args:
        scenario: file, loaded or prepared scenario, without third-party simulators.
        reward: from the outcome of a step to a number.
        episode_days: local days in an episode; the whole run unless given.
        actions: what the agent decides, see :class:`twin.environment.actions.ActionLayout`.
        sink: gets every recorded signal of every step, for example a :class:`twin.results.StrategyWriter`; steps
            start again from 0 with each episode.

    Raises:
        InputError: there is nothing to decide, the run is shorter than an episode, or it has third-party simulators.
    """

    def __init__(
        self,
        scenario: Prepared | LoadedScenario | Path | str,
        *,
        reward: Reward | None = None,
        episode_days: int | None = None,
        actions: Actions = "battery",
        sink: Sink | None = None,
    ) -> None:
        self._whole = _prepared(scenario)
        self._reward: Reward = CostAndVoltage() if reward is None else reward
        self._sink = sink
        self._spans = self._episodes(episode_days)
        # by the prices of the whole run, so that it is the same whichever days are drawn
        self._stored_worth_eur_kwh = stored_worth_eur_kwh(self._whole.plant)
        self._actions = ActionLayout(self._whole.site, actions)
        self._observations = ObservationLayout(self._whole.site)
        low, high = self._observations.bounds(self._whole.plant)
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gymnasium.spaces.Box(
            self._actions.low.astype(np.float32), self._actions.high.astype(np.float32), dtype=np.float32
        )
        self.observation_names = self._observations.names
        """What each value of an observation is."""
        self.observation_units = self._observations.units
        self.action_names = self._actions.names
        """Device that each value of an action is for."""
        self.episodes = 0
        """Number of resets."""
        self._ended = True
        self._loop: StepLoop | None = None
        self._start(self._spans[0])

    @property
    def scenario_prepared(self) -> Prepared:
        """The whole scenario, from which episodes are drawn; for a second environment or a run."""
        return self._whole

    @property
    def episode_prepared(self) -> Prepared:
        """The days of the present episode alone, as a scenario whose step 0 is their first; another after each reset."""
        return self._episode

    @property
    def seen(self) -> Observation:
        """What a strategy sees in the present step: arrays in kW and pu, NaN where nothing was measured."""
        return self._seen

    def action_of(self, proposal: Proposal) -> Float32Array:
        """Return a proposal as an action; float32 rounds it."""
        return self._actions.action(proposal)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, Info]:
        """Start an episode.

        Args:
            seed: of the draw of the first day.
            options: ``{"first_day": n}`` starts at day n of the run, counted from 0, instead of a drawn one.

        Raises:
            InputError: an option is not known, or the day is not in the run.
        """
        super().reset(seed=seed)
        self._start(self._spans[self._first_day({} if options is None else options)])
        self.episodes += 1
        self._ended = False
        return self._observations.values(self._seen), {
            "step": 0,
            "start_utc_s": self._episode.plant.start_utc_s,
        }

    def step(self, action: Float32Array) -> tuple[Float32Array, float, bool, bool, Info]:
        """Take an action; values outside the bounds count as the bound.

        Returns:
            Observation, reward, terminated (always False), truncated (the episode ends), and the figures of the step:
            kW, kWh, EUR, pu; with the last step also ``kpi``, those KPIs of the episode by name that need no settlement: feeder,
            voltage, energy, batteries and energy cost. The figures of communities (``shared_*``, ``members_*``,
            ``incentive_eur``, ``valorisation_eur``, ``social_kept_eur``), ``co2_*`` and ``market_value_eur`` are those
            of a run. The observation after the last step is that of the last step.

        Raises:
            ValueError: wrong shape, or a value that is not a number.
        """
        return self.propose(self._actions.proposal(action))

    def propose(self, proposal: Proposal) -> tuple[Float32Array, float, bool, bool, Info]:
        """Do what :meth:`step` does with a proposal in kW, exactly as a run does.

        Raises:
            ControllerError: not a valid proposal.
            RunError: the feeder could not be solved.
            gymnasium.error.ResetNeeded: the episode has ended, or none was started.
        """
        loop = self._loop
        if self._ended or loop is None:
            raise gymnasium.error.ResetNeeded("no episode is running; call reset() first")
        step = loop.step
        signals = loop.play(proposal)
        self._ended = loop.step == self._episode.plant.n_steps
        outcome = outcome_of(
            step,
            signals,
            context=self._episode.context,
            free_buses=self._episode.feeder.free_buses,
            shared_kwh=self._shared.add(step, signals["home.p_kw"]),
            shared_value_eur_kwh=self._episode.site.shared_value_eur_kwh,
            stored_value_eur=float(self._stored_worth_eur_kwh @ self._record.stored_change_kwh())
            if self._ended
            else 0.0,
        )
        info = _figures(outcome)
        if self._ended:
            info["kpi"] = self._record.kpis()
        else:
            self._seen = loop.look()
        return self._observations.values(self._seen), float(self._reward(outcome)), False, self._ended, info

    def _episodes(self, days: int | None) -> tuple[tuple[int, int], ...]:
        plant = self._whole.plant
        if days is None:
            return ((0, plant.n_steps),)
        spans = day_starts(plant, days) if days >= 1 else ()
        if not spans:
            raise InputError(
                f"episode_days {days}: must be at least 1 and at most the days of the run; lengthen `period.days`"
            )
        return spans

    def _first_day(self, options: dict[str, Any]) -> int:
        unknown = sorted(options.keys() - {"first_day"})
        if unknown:
            raise InputError(f"reset: option {', '.join(unknown)} is not known; there is first_day")
        last = len(self._spans) - 1
        day = options["first_day"] if "first_day" in options else int(self.np_random.integers(last + 1))
        if day not in range(last + 1):
            raise InputError(f"reset: first_day {day!r} must be a whole number from 0 to {last}")
        return int(day)

    def close(self) -> None:
        """End the devices of the present episode; a reset opens them anew."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _start(self, span: tuple[int, int]) -> None:
        first_step, n_steps = span
        self._episode = part_of(self._whole, first_step=first_step, n_steps=n_steps)
        self._observations = ObservationLayout(self._episode.site)
        self._record = EpisodeRecord(self._episode.context, self._sink)
        self._shared = SharedEnergy(self._episode.plant)
        forecast = self._episode.forecast(NoControl(self._episode.site))
        self.close()
        self._loop = StepLoop(self._episode, forecast=forecast, sink=self._record)
        self._seen = self._loop.look()


class ControllerPolicy:
    """Lets a strategy act in an environment, unchanged; a new controller is made for each episode.

    Args:
        env: the environment itself (``env.unwrapped`` of one that ``gymnasium.make`` made).
        make: from the site to a controller: a class of a strategy, or a function that gives it parameters.
    """

    def __init__(self, env: TwinEnv, make: Callable[[Site], Controller]) -> None:
        self._env, self._make = env, make
        self._episode = -1
        self._begin()

    def proposal(self) -> Proposal:
        """Return what the strategy asks for in the present step, for :meth:`TwinEnv.propose`."""
        if self._episode != self._env.episodes:
            self._begin()
        return self._controller.decide(replace(self._env.seen, forecast=self._forecast))

    def __call__(self, observation: Float32Array) -> Float32Array:
        """Return it as an action, rounded to float32; ``observation`` is not needed, the strategy sees arrays in kW."""
        del observation
        return self._env.action_of(self.proposal())

    def _begin(self) -> None:
        prepared = self._env.episode_prepared
        self._controller = self._make(prepared.site)
        self._forecast: Forecast = prepared.forecast(self._controller)
        self._episode = self._env.episodes


def _prepared(scenario: Prepared | LoadedScenario | Path | str) -> Prepared:
    if isinstance(scenario, Prepared):
        return scenario
    loaded = scenario if isinstance(scenario, LoadedScenario) else load_scenario(Path(scenario))
    return prepare(loaded, strategies=())


def _figures(outcome: StepOutcome) -> Info:
    e_kwh = energy_kwh(outcome.grid_kw, outcome.dt_s)
    return {
        "step": outcome.step,
        "feeder_import_kw": float(outcome.signals["feeder.p_import_kw"][0]),
        "import_kwh": float(np.maximum(e_kwh, 0.0).sum()),
        "export_kwh": float(np.maximum(-e_kwh, 0.0).sum()),
        "cost_eur": float(outcome.cost_eur.sum()),
        "vm_min_pu": float(outcome.signals["feeder.vm_min_pu"][0]),
        "vm_max_pu": float(outcome.signals["feeder.vm_max_pu"][0]),
        "voltage_excess_pu_h": outcome.voltage_excess_pu_h,
        "shared_kwh": float(outcome.shared_kwh.sum()),
        "shared_value_eur": outcome.shared_value_eur,
        "stored_value_eur": outcome.stored_value_eur,
    }


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="twin.environment.env:TwinEnv")
