"""A source that puts the voltage of the simulated grid on the terminals of a real device."""
