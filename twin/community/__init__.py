"""Energy communities: shared energy, incentives, bills, CO2 and what reinforcement they defer. Pure functions on arrays."""
