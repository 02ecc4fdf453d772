"""Modbus on the wire: framing, a strict client and a server. Knows bytes, not register maps."""
