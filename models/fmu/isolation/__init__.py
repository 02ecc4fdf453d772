"""FMUs in a process of their own: what crashes, ends or hangs there does not take the run with it."""
