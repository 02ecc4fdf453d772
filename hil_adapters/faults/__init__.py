"""Faults of devices and lines, injected on purpose: a catalogue, a seeded plan, a server layer and a proxy."""
