"""The acceptance test of a device: what must be proven before it may be armed."""
