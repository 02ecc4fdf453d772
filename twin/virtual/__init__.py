"""Emulated devices of a run: a host process with registers in front of our device models."""
