"""Register maps as data: what a device offers, how its values are coded, what may be written and within which limits."""
