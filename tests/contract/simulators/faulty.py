"""A mosaik simulator that fails on demand, in a process of its own; used by the tests of third-party simulators."""

import sys
import threading

import mosaik_api_v3


class Faulty(mosaik_api_v3.Simulator):
    """Delivers 1 kW every 15 min until ``fault_step``, then does what ``fault`` says."""

    def __init__(self):
        super().__init__({"api_version": "3.0", "type": "time-based", "models": {}})
        self.meta["models"] = {"Source": {"public": True, "params": [], "attrs": ["P"]}}

    def init(self, sid, time_resolution=1.0, fault="none", fault_step=0):
        self.fault, self.fault_step, self.value = fault, fault_step, 1.0
        return self.meta

    def create(self, num, model):
        return [{"eid": "source", "type": model}]

    def step(self, time, inputs, max_advance):
        if time // 900 >= self.fault_step:
            self.fail()
        return time + 900

    def fail(self):
        if self.fault == "raise":
            raise RuntimeError("simulated defect")
        if self.fault == "die":
            sys.exit(3)
        if self.fault == "hang":
            threading.Event().wait(60)
        if self.fault == "none_value":
            self.value = None
        if self.fault == "nan":
            self.value = float("nan")

    def get_data(self, outputs):
        return {eid: dict.fromkeys(attrs, self.value) for eid, attrs in outputs.items()}


if __name__ == "__main__":
    mosaik_api_v3.start_simulation(Faulty())
