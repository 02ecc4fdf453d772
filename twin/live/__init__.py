"""Runs in real time: devices and guardian around a run, timing as a result, what makes a run invalid."""
