"""Emulated devices: registers in front of physics, served over Modbus as a real device would."""
