"""Physics: feeder, devices and their functions. Imports neither ``twin`` nor mosaik."""
