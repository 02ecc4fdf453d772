"""A fleet of FMUs in this process: steps cut into communication steps, units, and the guard of values."""
