"""Our models as the inside of a virtual device."""

import pytest

from twin.errors import InputError
from twin.virtual.config import PhysicsConfig
from twin.virtual.physics import OpenPhysics, open_physics


def opened(kind: str, **settings: dict[str, float]) -> OpenPhysics:
    return open_physics(PhysicsConfig.model_validate({"kind": kind, **settings}), label="it")


def powers(physics: OpenPhysics, commands: dict[str, float], world: dict[str, float] | None = None) -> float:
    return physics.step(commands, {} if world is None else world, dt_s=1.0)["p_kw"]


@pytest.mark.parametrize(
    ("kind", "parameters", "inputs", "commands", "p_kw"),
    [
        ("pv_inverter", {}, {"p_available_kw": -6.0}, {}, -6.0),
        ("pv_inverter", {}, {"p_available_kw": -6.0}, {"p_limit_kw": 2.0}, -2.0),
        ("pv_inverter", {}, {"p_available_kw": -6.0}, {"p_limit_kw": 4.0, "p_set_kw": -1.0}, -1.0),
        ("pv_inverter", {}, {"p_available_kw": -6.0}, {"p_limit_kw": float("inf")}, -6.0),
        ("battery", {}, {}, {}, 0.0),
        ("battery", {}, {}, {"p_set_kw": 3.0}, 3.0),
        ("battery", {}, {}, {"p_set_kw": -3.0, "p_limit_kw": 1.0}, -1.0),
        ("battery", {}, {}, {"p_set_kw": 3.0, "p_limit_kw": 1.0}, 3.0),
        ("ev_charger", {}, {}, {}, 7.4),
        ("ev_charger", {}, {}, {"p_limit_kw": 3.0}, 3.0),
        ("ev_charger", {}, {}, {"p_limit_kw": 5.0, "p_set_kw": 2.0}, 2.0),
        ("ev_charger", {}, {"plugged": 0.0}, {}, 0.0),
        ("water_heater", {"temp_start_degc": 40.0}, {}, {}, 0.5),
        ("water_heater", {"temp_start_degc": 40.0}, {}, {"p_limit_kw": 0.2}, 0.2),
        ("water_heater", {"temp_start_degc": 40.0}, {}, {"p_set_kw": 0.0}, 0.0),
        ("meter", {}, {"p_kw": 1.5}, {"p_limit_kw": 0.0}, 1.5),
    ],
)
def test_commands_act_on_every_kind_as_they_do_on_a_real_device(
    kind: str, parameters: dict[str, float], inputs: dict[str, float], commands: dict[str, float], p_kw: float
) -> None:
    physics = opened(kind, parameters=parameters, inputs=inputs)
    assert powers(physics, commands) == pytest.approx(p_kw)
    physics.close()


def test_what_surrounds_the_device_comes_before_what_was_said_at_the_start() -> None:
    physics = opened("pv_inverter", inputs={"p_available_kw": -6.0})
    assert powers(physics, {}, {"p_available_kw": -1.0, "frequency_hz": 50.0}) == -1.0
    assert powers(physics, {}, {}) == -6.0


def test_a_battery_keeps_its_state_from_step_to_step() -> None:
    physics = opened("battery", parameters={"capacity_kwh": 10.0, "eta_charge": 1.0})
    steps = [physics.step({"p_set_kw": 5.0}, {}, dt_s=360.0) for _ in range(2)]
    assert steps[-1]["soc"] == pytest.approx(0.6)


def test_a_water_heater_tells_the_temperature_of_its_upper_part_as_its_temperature() -> None:
    after = opened("water_heater", parameters={"temp_start_degc": 40.0}).step({}, {}, dt_s=60.0)
    assert after["temp_degc"] == after["temp_top_degc"] > 39.0


@pytest.mark.parametrize(
    ("kind", "parameters", "nameplate"),
    [
        ("pv_inverter", {"p_rated_kw": 6.0, "s_rated_kva": 6.5}, {"p_rated_kw": 6.0, "s_rated_kva": 6.5}),
        ("battery", {"charge_kw": 3.0}, {"charge_kw": 3.0, "discharge_kw": 5.0, "capacity_kwh": 10.0}),
        ("ev_charger", {}, {"p_rated_kw": 7.4, "capacity_kwh": 50.0}),
        ("water_heater", {"p_element_kw": 1.5}, {"p_rated_kw": 2.0}),
        ("meter", {"p_rated_kw": 80.0}, {"p_rated_kw": 80.0}),
    ],
)
def test_the_nameplate_is_what_the_parameters_say(
    kind: str, parameters: dict[str, float], nameplate: dict[str, float]
) -> None:
    assert opened(kind, parameters=parameters).nameplate == nameplate


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"kind": "battery", "parameters": {"capacty_kwh": 1.0}}, "capacty_kwh"),
        ({"kind": "battery", "inputs": {"draw_l_min": 1.0}}, "has no input draw_l_min"),
        ({"kind": "meter", "parameters": {"capacity_kwh": 1.0}}, "it has p_rated_kw"),
        ({"kind": "fmu"}, "needs a file"),
        (
            {
                "kind": "fmu",
                "fmu": {
                    "file": "x.fmu",
                    "inputs": [{"signal": "sun", "variable": "s"}],
                    "outputs": [{"signal": "p_kw", "variable": "p"}],
                },
            },
            "input sun of the FMU has no value",
        ),
        (
            {"kind": "fmu", "fmu": {"file": "x.fmu", "outputs": [{"signal": "soc", "variable": "s"}]}},
            "is p_kw",
        ),
        (
            {"kind": "fmu", "fmu": {"file": "x.fmu", "outputs": [{"signal": "p_kw", "variable": "p"}]}},
            "x.fmu",
        ),
    ],
)
def test_what_does_not_fit_is_named(config: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        open_physics(PhysicsConfig.model_validate(config), label="it")
