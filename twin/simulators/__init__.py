"""The simulators of the software loop: pure step cores, and one thin adapter that makes each a mosaik simulator."""
