"""Finding the models of a device.

A device carries 'SunS' at one of a few addresses, then its models, each with its number and its length, then a model
number 0xFFFF. Source: SunSpec Information Model Specification; the deviations tolerated here are seen in the field.
"""

from collections import Counter
from collections.abc import Sequence

from hil_adapters.errors import ExceptionReplyError, LinkTimeoutError, MapError, ProtocolViolationError
from hil_adapters.maps.codec import decode, register_count
from hil_adapters.maps.schema import LinkDefaults, Point
from hil_adapters.sunspec.chain import HEADER, Chain, ChainModel, counts_that_fit, model_points
from hil_adapters.sunspec.definitions import model_definition, model_length, place, repeating_groups
from hil_adapters.wire.base import ModbusLink, Table
from hil_adapters.wire.codes import ADDRESSES, GATEWAY, MAX_READ_REGISTERS, PERMANENT, ExceptionCode
from hil_adapters.wire.pdu import read_request, read_values

__all__ = ["MARKER", "discover"]

MARKER = (0x5375, 0x6E53)
"""'SunS'."""

_END = 0xFFFF
_UNIMPLEMENTED = 0xFFFF
_TRIES = 3
"""Of one request, where the device is busy or the answer was lost or garbled on the way; reads may be repeated."""
_NOT_THERE_YET = GATEWAY | {ExceptionCode.ACKNOWLEDGE, ExceptionCode.BUSY}
"""Exceptions of a device, or a gateway before it, that may answer later."""
_MOST_MODELS = 200
_RATINGS = frozenset({120, 121, 702})
"""Models whose points commands are percentages of; what they do not implement must not be chosen."""


class _Reader:
    """Reads holding registers of one unit."""

    def __init__(self, link: ModbusLink, unit: int, timeout_s: float) -> None:
        self._link = link
        self._unit = unit
        self._timeout_s = timeout_s
        self.where = f"{link.target}, unit {unit}"
        self.has_answered = False
        """Whether the device answered any request."""

    async def read(self, address: int, count: int) -> list[int]:
        """Read registers, three times in all where the device is busy or the answer is lost or garbled.

        A device that never answered is not asked again. Neither is one whose connection is gone: behind another one
        something else may answer, which is for the caller to find out from the start.
        """
        request = read_request(Table.HOLDING, address, count)
        for _ in range(_TRIES - 1):
            try:
                return await self._read(request)
            except ExceptionReplyError as exc:
                if exc.code != ExceptionCode.BUSY:
                    raise
            except (LinkTimeoutError, ProtocolViolationError):
                if not (self.has_answered and self._link.is_open):
                    raise
        return await self._read(request)

    async def read_or_none(self, address: int, count: int) -> list[int] | None:
        """Read registers; None where the device says that it has none there, or where they do not exist."""
        if address + count > ADDRESSES:
            return None
        try:
            return await self.read(address, count)
        except ExceptionReplyError as exc:
            if exc.code != ExceptionCode.ADDRESS:
                raise
            return None

    async def open(self) -> None:
        """Connect where nothing is known yet of the device; in the middle of its chain another end might answer."""
        if not self._link.is_open:
            await self._link.open()

    async def _read(self, request: bytes) -> list[int]:
        try:
            answer = await self._link.request(self._unit, request, timeout_s=self._timeout_s)
        except ExceptionReplyError as exc:
            self.has_answered = self.has_answered or exc.code not in GATEWAY
            raise
        self.has_answered = True
        return read_values(request, answer)


async def discover(
    link: ModbusLink, unit: int, *, bases: Sequence[int] = (40000, 0, 50000), timeout_s: float = 1.0
) -> Chain:
    """Find the models of a device; only reads.

    Tolerated and reported in :attr:`Chain.quirks`: an end by one 0xFFFF, by a 0 or by an address error, a Common model
    of 65 registers, models shorter or longer than the standard says, repetitions that do not fit the length.

    Args:
        link: connected or not.
        unit: unit identifier of the device.
        bases: addresses where 'SunS' is looked for, in this order.
        timeout_s: for each request [s].

    Raises:
        MapError: every base was answered and none with 'SunS', or the chain does not end.
        LinkError: the device did not answer, or answered wrongly; or the connection was lost on the way, then it is begun
            again from the start.
    """
    reader = _Reader(link, unit, timeout_s)
    base = await _base(reader, bases)
    quirks: list[str] = []
    models = await _models(reader, base + len(MARKER), quirks)
    if not models:
        raise MapError(
            f"{reader.where}: 'SunS' at {base} but no model behind it; the device is not a SunSpec device"
        )
    if models[0].model != 1:
        quirks.append(f"the first model is {models[0].model}, not 1")
    absent: set[str] = set()
    for model in models:
        if model.model in _RATINGS:
            absent |= await _absent(reader, model)
    return Chain(base=base, models=tuple(models), quirks=tuple(quirks), absent=frozenset(absent))


async def _base(reader: _Reader, bases: Sequence[int]) -> int:
    unclear: dict[int, LinkTimeoutError | ExceptionReplyError] = {}
    found = await _marked(reader, bases, unclear)
    silent = [base for base, error in unclear.items() if isinstance(error, LinkTimeoutError)]
    if found is None and reader.has_answered and silent:
        # the device answers, so the answer there may have been lost
        found = await _marked(reader, silent, unclear)
    if found is not None:
        return found
    remedy = "check the unit, switch SunSpec on in the device, or use a map of its maker"
    absent = ", ".join(str(base) for base in bases if base not in unclear)
    if unclear:
        # one base without an answer is enough: the device may have its models there
        base, error = next(iter(unclear.items()))
        if not absent or isinstance(error, LinkTimeoutError):
            # what does not answer need not be another kind of device
            raise error
        text = f"{error}; there is no 'SunS' at {absent}, and {base} is not known; where that lasts {remedy}"
        if isinstance(error, ExceptionReplyError):
            raise ExceptionReplyError(error.code, text) from error
        raise LinkTimeoutError(text) from error
    raise MapError(f"{reader.where}: no 'SunS' at {absent}; {remedy}")


async def _marked(
    reader: _Reader, bases: Sequence[int], unclear: dict[int, LinkTimeoutError | ExceptionReplyError]
) -> int | None:
    """Return the first base with 'SunS'; ``unclear`` holds afterwards those of which nothing is known, and why."""
    for base in bases:
        await reader.open()
        unclear.pop(base, None)
        try:
            if await _has_marker(reader, base):
                return base
        except LinkTimeoutError as exc:
            unclear[base] = exc
        except ExceptionReplyError as exc:
            if exc.code in _NOT_THERE_YET:
                raise
            unclear[base] = exc
    return None


async def _has_marker(reader: _Reader, base: int) -> bool:
    try:
        return tuple(await reader.read(base, len(MARKER))) == MARKER
    except ExceptionReplyError as exc:
        if exc.code not in PERMANENT:
            raise
        return False


async def _absent(reader: _Reader, model: ChainModel) -> set[str]:
    """Return the points of a model that read as not implemented; none where it cannot be read as a whole."""
    if not 1 <= model.length <= MAX_READ_REGISTERS:
        return set()
    try:
        registers = await reader.read_or_none(model.address + HEADER, model.length)
    except ExceptionReplyError as exc:
        if exc.code in _NOT_THERE_YET:
            raise
        return set()
    if registers is None:
        return set()
    points = {point.name: point for point in model_points(model)}
    exponents = {name: _value(point, registers, model, None) for name, point in points.items()}
    return {
        name
        for name, point in points.items()
        if _value(
            point, registers, model, None if point.scale_point is None else exponents[point.scale_point]
        )
        is None
    }


def _value(
    point: Point, registers: Sequence[int], model: ChainModel, exponent: float | str | None
) -> float | str | None:
    start = point.address - model.address - HEADER
    scale_exponent = int(exponent) if isinstance(exponent, float) else None
    return decode(
        point, registers[start : start + register_count(point)], LinkDefaults(), scale_exponent=scale_exponent
    )


async def _models(reader: _Reader, start: int, quirks: list[str]) -> list[ChainModel]:
    found: list[ChainModel] = []
    seen: Counter[int] = Counter()
    address = start
    while len(found) < _MOST_MODELS:
        header = await _header(reader, address, quirks)
        if header is None:
            return found
        number, length = header
        seen[number] += 1
        found.append(
            await _model(
                reader,
                ChainModel(model=number, address=address, length=length, instance=seen[number]),
                quirks,
            )
        )
        address += HEADER + length
    raise MapError(
        f"{reader.where}: more than {_MOST_MODELS} models from {start} on; the device's chain of models does not end"
    )


async def _header(reader: _Reader, address: int, quirks: list[str]) -> tuple[int, int] | None:
    """Return number and length of the model at ``address``; None at the end of the chain."""
    header = await reader.read_or_none(address, HEADER)
    if header is None:
        single = await reader.read_or_none(address, 1)
        if single is None:
            quirks.append(f"the chain ends at {address} with an address error")
        elif single[0] in (0, _END):
            quirks.append(f"the chain ends at {address} with one register 0x{single[0]:04X} and no length")
        else:
            raise MapError(
                f"{reader.where}: model {single[0]} at {address} has no length; the device's chain of models is broken"
            )
        return None
    number, length = header
    if number == 0 or (number == _END and length != 0):
        quirks.append(
            f"the chain ends at {address} with 0x{number:04X}, 0x{length:04X} and not with 0xFFFF, 0"
        )
    return None if number in (0, _END) else (number, length)


async def _model(reader: _Reader, model: ChainModel, quirks: list[str]) -> ChainModel:
    definition = model_definition(model.model)
    if definition is None:
        return model
    counted: dict[str, int] = {}
    offsets = {p.name: p.offset for p in place(definition, {}) if p.offset < HEADER + model.length}
    for point in sorted({n for n in repeating_groups(definition).values() if isinstance(n, str)}):
        value = await reader.read_or_none(model.address + offsets[point], 1) if point in offsets else None
        counted[point] = 0 if value is None or value[0] == _UNIMPLEMENTED else value[0]
    counts = counts_that_fit(definition, model.length, counted)
    for name, count in repeating_groups(definition).items():
        if isinstance(count, str) and counts[name] != counted[count]:
            quirks.append(
                f"model {model.prefix} at {model.address} has room for {counts[name]} of its {counted[count]} groups {name}"
            )
    expected = model_length(definition, counts) - HEADER
    if model.length != expected:
        quirks.append(
            f"model {model.prefix} at {model.address} has {model.length} registers where the standard has {expected}"
        )
    return ChainModel(
        model=model.model,
        address=model.address,
        length=model.length,
        instance=model.instance,
        counts=counts,
    )
