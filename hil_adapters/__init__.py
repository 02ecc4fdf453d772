"""Devices on the wire. Imports neither ``twin`` nor mosaik."""
