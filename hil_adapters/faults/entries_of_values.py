"""The rows of the fault catalogue about values: a link cannot see them, a session can."""

from hil_adapters.faults.catalogue import Fault, FaultEntry, Level, Outcome, number

__all__ = ["VALUE_ENTRIES"]

_RIGHT = frozenset({Outcome.RIGHT})
_LOST = frozenset({Outcome.LOST})


VALUE_ENTRIES = (
    FaultEntry(
        fault=Fault.MISSING_VALUE,
        level=Level.VALUE,
        effect="the registers hold the mark for 'not implemented'",
        required="no value, never a number",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(
            number("first", 0x8000, "first register of each range of addresses"),
            number("rest", 0, "its other registers"),
        ),
    ),
    FaultEntry(
        fault=Fault.SCALE_OUT_OF_RANGE,
        level=Level.VALUE,
        effect="the scale factor lies beyond -10 to 10",
        required="the values it scales are bad",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(number("exponent", 12, "what the register holds", low=-32767, high=32767),),
    ),
    FaultEntry(
        fault=Fault.SCALE_MISSING,
        level=Level.VALUE,
        effect="the scale factor is marked as not implemented",
        required="the values it scales are bad",
        tcp=_RIGHT,
        rtu=_RIGHT,
    ),
    FaultEntry(
        fault=Fault.SCALE_CHANGE,
        level=Level.VALUE,
        effect="the scale factor changes and the raw value does not follow",
        required="the value is uncertain for one sample",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(number("add", 1, "change of the exponent", low=-20, high=20),),
    ),
    FaultEntry(
        fault=Fault.FROZEN,
        level=Level.VALUE,
        effect="the values of the first hit are repeated",
        required="found where the point is watched for it, otherwise taken",
        tcp=_RIGHT,
        rtu=_RIGHT,
    ),
    FaultEntry(
        fault=Fault.MAP_SHIFT,
        level=Level.VALUE,
        effect="every value lies some registers further (another firmware)",
        required="identity and fingerprint no longer fit; control ends",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(number("by", 1, "registers", low=-1000, high=1000),),
    ),
    FaultEntry(
        fault=Fault.COUNTER_RESET,
        level=Level.VALUE,
        effect="a counter starts at 0 again",
        required="taken as a reset, not as energy flowing back",
        tcp=_RIGHT,
        rtu=_RIGHT,
    ),
    FaultEntry(
        fault=Fault.COUNTER_ROLLOVER,
        level=Level.VALUE,
        effect="a counter reaches its end and starts at 0",
        required="taken as a roll-over",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(number("left", 10, "counts until the end at the first hit", low=0, high=2.0**31),),
    ),
    FaultEntry(
        fault=Fault.REBOOT,
        level=Level.VALUE,
        effect="connections break and are refused for a while; counters in the addresses start at 0; "
        "what was written is lost",
        required="found, told; identified and commanded anew",
        tcp=_LOST,
        rtu=_LOST,
        parameters=(number("down_s", 2.0, "time without service", high=3600.0),),
    ),
    FaultEntry(
        fault=Fault.SECOND_MASTER,
        level=Level.VALUE,
        effect="somebody else writes the registers",
        required="contention is told; no fight by writing faster",
        tcp=_RIGHT,
        rtu=_RIGHT,
        parameters=(
            number("value", 0, "what is written to every register of the addresses"),
            number("every_s", 10.0, "pause between two writes", low=0.01, high=86400.0),
        ),
    ),
    FaultEntry(
        fault=Fault.IGNORED_WRITE,
        level=Level.VALUE,
        effect="a write is confirmed and not carried out",
        required="found by reading back",
        tcp=_RIGHT,
        rtu=_RIGHT,
    ),
)
