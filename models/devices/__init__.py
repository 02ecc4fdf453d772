"""Device models that keep their own state: arrays of N devices, and the variables they share with the FMUs."""
