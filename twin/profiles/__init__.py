"""Time series of the user: read, checked, converted to kW, EUR/kWh or 1, and resampled with energy kept."""
