"""A strategy that somebody else decides: the devices of one home, emulated over Modbus for an EMS of any make."""
