"""Co-Simulation of N devices: FMI 2.0, FMI 3.0, and FMI 3.0 with arrays."""
