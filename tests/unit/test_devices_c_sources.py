"""The C sources of our kinds give what their numpy twins give."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.devices.base import Causality
from models.devices.numpy_block import KINDS, NumpyBlock
from models.errors import DeviceError

SOURCES = Path(__file__).parents[2] / "models/fmu/ours/sources"
N = 64
Pointer = ctypes.POINTER(ctypes.c_double)

PARAMETERS = {
    "battery": {
        "plain": {},
        "all": {
            "capacity_kwh": (5.0, 20.0),
            "charge_kw": (0.0, 8.0),
            "discharge_kw": (0.0, 8.0),
            "eta_charge": (0.91, 1.0),
            "soc_min": (0.0, 0.2),
            "soc_max": (0.8, 1.0),
            "soc_start": (0.2, 0.8),
            "loss_per_day": (0.0, 0.2),
            "standby_kw": (0.0, 0.1),
            "loss_quadratic": (0.0, 0.2),
            "taper_low_soc": (0.0, 0.2),
            "taper_high_soc": (0.0, 0.2),
            "heat_capacity_kwh_k": (0.005, 0.05),
            "conductance_kw_k": (0.0, 0.02),
            "temp_start_degc": (10.0, 45.0),
            "temp_derate_start_degc": (25.0, 40.0),
            "temp_derate_end_degc": (45.0, 60.0),
            "fade_per_cycle": (0.0, 1e-3),
            "fade_per_year": (0.0, 0.05),
            "health_start": (0.6, 1.0),
        },
    },
    "pv_inverter": {
        "at once": {"mode": (0, 1, 2), "absorbs": (0, 1), "cos_phi": (0.8, 1.0)},
        "delayed": {
            "mode": (0, 1, 2),
            "cos_phi": (0.8, 1.0),
            "p_v_start_pu": (1.0, 1.06),
            "p_v_end_pu": (1.07, 1.12),
            "p_v_min_share": (0.0, 0.5),
            "response_s": (0.0, 1.0, 10.0),
            "ramp_up_share_s": (0.0, 0.001, 0.02),
        },
    },
    "water_heater": {
        "plain": {},
        "all": {
            "volume_l": (80.0, 300.0),
            "top_share": (0.2, 0.5, 0.8),
            "loss_kw_k": (0.0, 0.003),
            "p_rated_kw": (0.3, 1.0),
            "p_min_kw": (0.0, 0.3),
            "p_element_kw": (0.0, 2.0),
            "temp_set_degc": (45.0, 60.0),
            "temp_element_degc": (38.0, 62.0),
            "hysteresis_k": (0.0, 8.0),
            "temp_start_degc": (20.0, 60.0),
            "temp_cold_degc": (5.0, 20.0),
        },
    },
    "ev_charger": {
        "plain": {},
        "all": {
            "capacity_kwh": (20.0, 80.0),
            "p_max_kw": (3.7, 22.0),
            "p_min_kw": (0.0, 3.7),
            "p_v2g_kw": (0.0, 10.0),
            "eta_charge": (0.8, 1.0),
            "eta_discharge": (0.8, 1.0),
            "soc_min": (0.0, 0.3),
            "soc_start": (0.0, 1.0),
        },
    },
}
INPUTS = {
    "p_set_kw": (-9.0, 9.0),
    "temp_ambient_degc": (-5.0, 45.0),
    "p_available_kw": (-12.0, 0.0),
    "p_limit_kw": (0.0, 12.0),
    "vm_pu": (0.88, 1.13),
    "draw_l_min": (0.0, 0.0, 0.0, 12.0),
    "temp_air_degc": (-12.0, 35.0),
    "temp_room_degc": (10.0, 25.0),
    "plugged": (0, 1, 1),
    "used_kwh": (0.0, 0.0, 5.0),
    "departure_h": (0.1, 12.0, 1e9),
    "soc_need": (0.0, 1.0),
}


def drawn(random, spread):
    """Return values between two bounds, or picked from a list of three and more or of whole numbers."""
    if len(spread) > 2 or all(isinstance(value, int) for value in spread):
        return random.choice(np.array(spread, dtype=float), N)
    return random.uniform(*spread, N)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    compiler = [found] if (found := shutil.which("cc")) else [sys.executable, "-m", "ziglang", "cc"]
    opened = {}
    for kind in KINDS:
        target = folder / f"{kind}.so"
        flags = ["-O2", "-std=c99", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fPIC", "-shared"]
        subprocess.run([*compiler, *flags, str(SOURCES / f"{kind}.c"), "-o", str(target), "-lm"], check=True)
        library = ctypes.CDLL(str(target))
        getattr(library, f"{kind}_step").argtypes = [
            ctypes.POINTER(Pointer),
            ctypes.c_int,
            ctypes.c_double,
            ctypes.c_double,
        ]
        getattr(library, f"{kind}_problem").restype = ctypes.c_char_p
        opened[kind] = library
    return opened


class Compiled:
    """N devices in the memory layout of the C sources: one row for each variable."""

    def __init__(self, library, kind, parameters):
        self.binary, self.kind = library, kind
        self.entries = KINDS[kind].KIND.variables + KINDS[kind].STATES
        self.rows = np.array([np.broadcast_to(parameters.get(e.name, e.start), N) for e in self.entries])
        self.names = [entry.name for entry in self.entries]
        self.pointers = (Pointer * len(self.rows))(*[row.ctypes.data_as(Pointer) for row in self.rows])

    def start(self):
        for device in range(N):
            getattr(self.binary, f"{self.kind}_start")(self.pointers, device)

    def problem(self):
        return getattr(self.binary, f"{self.kind}_problem")(self.pointers, 0)

    def step(self, inputs, dt_s):
        for name, row in inputs.items():
            self.rows[self.names.index(name)] = row
        for device in range(N):
            getattr(self.binary, f"{self.kind}_step")(self.pointers, device, 0.0, dt_s)

    def results(self):
        return {
            name: row
            for entry, name, row in zip(self.entries, self.names, self.rows, strict=True)
            if entry.causality == Causality.OUTPUT
        }


def pair(libraries, kind, spreads, random):
    parameters = {name: drawn(random, spread) for name, spread in spreads.items()}
    compiled = Compiled(libraries[kind], kind, parameters)
    table = KINDS[kind].KIND
    block = NumpyBlock(
        KINDS[kind],
        size=N,
        parameters=parameters,
        inputs=table.named(Causality.INPUT),
        outputs=table.named(Causality.OUTPUT),
        label=kind,
    )
    compiled.start()
    return block, compiled


CASES = [(kind, case) for kind, cases in PARAMETERS.items() for case in cases]


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_one_step_of_c_and_numpy_agree_to_rounding(libraries, kind, case):
    random = np.random.default_rng(4)
    block, compiled = pair(libraries, kind, PARAMETERS[kind][case], random)
    for name, row in compiled.results().items():
        assert np.allclose(row, block._state[name], rtol=1e-12, atol=1e-12), name
    for step in range(150):
        dt_s = (1.0, 10.0, 60.0, 900.0, 77.7)[step % 5]
        inputs = {name: drawn(random, INPUTS[name]) for name in block.inputs}
        block.step(np.array(list(inputs.values())), time_s=0.0, dt_s=dt_s)
        compiled.step(inputs, dt_s)
        for name, row in compiled.results().items():
            np.testing.assert_allclose(row, block._state[name], rtol=1e-12, atol=1e-12, err_msg=name)
            row[:] = block._state[name]


@pytest.mark.parametrize("kind", KINDS)
def test_c_and_numpy_stay_together_over_many_steps(libraries, kind):
    random = np.random.default_rng(5)
    block, compiled = pair(
        libraries, kind, PARAMETERS[kind]["plain" if kind != "pv_inverter" else "delayed"], random
    )
    for _ in range(400):
        inputs = {name: drawn(random, INPUTS[name]) for name in block.inputs}
        shown = block.step(np.array(list(inputs.values())), time_s=0.0, dt_s=60.0)
        compiled.step(inputs, 60.0)
        results = compiled.results()
        np.testing.assert_allclose([results[name] for name in block.outputs], shown, rtol=1e-9, atol=1e-9)


def test_the_inverter_at_once_has_the_same_bits_in_c(libraries):
    random = np.random.default_rng(6)
    block, compiled = pair(libraries, "pv_inverter", PARAMETERS["pv_inverter"]["at once"], random)
    for _ in range(300):
        inputs = {name: drawn(random, INPUTS[name]) for name in block.inputs}
        block.step(np.array(list(inputs.values())), time_s=0.0, dt_s=60.0)
        compiled.step(inputs, 60.0)
        for name, row in compiled.results().items():
            np.testing.assert_array_equal(row, block._state[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("battery", {"soc_min": 0.9, "soc_max": 0.8}, "soc_min must be below soc_max"),
        ("battery", {"soc_start": 0.05}, "soc_start must lie between soc_min and soc_max"),
        (
            "battery",
            {"temp_derate_start_degc": 2000.0},
            "temp_derate_start_degc must be below temp_derate_end_degc",
        ),
        (
            "battery",
            {"loss_quadratic": 0.4, "eta_charge": 0.8},
            "loss_quadratic must be below eta_charge / 2",
        ),
        ("pv_inverter", {"s_rated_kva": 9.0}, "s_rated_kva must be at least p_rated_kw"),
        ("pv_inverter", {"mode": 1.5}, "mode must be 0, 1 or 2"),
        ("pv_inverter", {"absorbs": 0.5}, "absorbs must be 0 or 1"),
        ("pv_inverter", {"v1i_pu": 0.9}, None),
        ("pv_inverter", {"cos_phi_lock_out_pu": 1.06}, None),
        ("pv_inverter", {"q_v_lock_out_share": 0.3}, None),
        ("pv_inverter", {"p_v_start_pu": 1.1, "p_v_end_pu": 1.05}, "p_v_start_pu must be below p_v_end_pu"),
        ("water_heater", {"p_min_kw": 0.6}, "p_min_kw must be at most p_rated_kw"),
        ("water_heater", {"lift_low_k": 61.0}, "lift_low_k must be at most lift_high_k"),
        ("water_heater", {"temp_cold_degc": 41.0}, "temp_cold_degc must be at most temp_use_degc"),
        ("ev_charger", {"p_min_kw": 8.0}, "p_min_kw must be at most p_max_kw"),
    ],
)
def test_contradictions_are_refused_by_both(libraries, kind, parameters, text):
    problem = Compiled(libraries[kind], kind, parameters).problem()
    assert problem is not None
    if text is not None:
        assert problem.decode() == text
    with pytest.raises(DeviceError, match=text if text is None else text.split(" must")[0]):
        NumpyBlock(KINDS[kind], size=1, parameters=parameters, inputs=(), outputs=(), label="it")


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_values_of_a_kind_contradict_nothing(libraries, kind):
    assert Compiled(libraries[kind], kind, {}).problem() is None
