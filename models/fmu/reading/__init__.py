"""What an FMU says of itself: its archive, checked before unpacking, its description, units and platforms."""
