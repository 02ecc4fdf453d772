"""Messages of the guard as JSON texts, and their frames on a Unix socket."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil_adapters.errors import GuardianError
from hil_adapters.guard.messages import (
    DeviceConfig,
    DeviceImage,
    DeviceReport,
    FinalReport,
    GuardianConfig,
    GuardState,
    Image,
    Limits,
    SetPoints,
    TlsFiles,
)
from hil_adapters.samples import Quality, Sample
from hil_adapters.wire.base import Parity, RtuOverTcpTarget, SerialTarget, Target, TcpTarget

__all__ = [
    "HEADER_BYTES",
    "MAX_BYTES",
    "Message",
    "body_length",
    "config_from_json",
    "config_to_json",
    "image_from_json",
    "image_to_json",
    "pack",
    "report_from_json",
    "report_to_json",
    "set_points_from_json",
    "set_points_to_json",
    "unpack",
]

Message = dict[str, Any]
"""A JSON object."""

HEADER_BYTES = 4
MAX_BYTES = 16 * 1024 * 1024
"""Longest message; a longer one is not ours."""

_MOST_STEPS = 1 << 53
_INFINITE = {"inf": math.inf, "-inf": -math.inf}


def pack(message: Mapping[str, Any]) -> bytes:
    """Return the frame of a message: length, then UTF-8 text."""
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    return struct.pack(">I", len(body)) + body


def body_length(header: bytes) -> int:
    """Return the length of the text that follows ``header``; ``GuardianError`` where it cannot be one of ours."""
    (length,) = struct.unpack(">I", header)
    if not 0 < length <= MAX_BYTES:
        msg = (
            f"a message of {length} bytes on the guardian's socket: not a guardian, or another version of it"
        )
        raise GuardianError(msg)
    return int(length)


def unpack(body: bytes) -> Message:
    """Return the message in a text; ``GuardianError`` where it is none."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GuardianError(f"a message on the guardian's socket is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise GuardianError("a message on the guardian's socket is not a JSON object")
    return message


def _number(value: float) -> float | str | None:
    """Return a number as JSON can say it: null where it is not known, a word where it is infinite."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(value)


def _float(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str) and value in _INFINITE:
        return _INFINITE[value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise GuardianError(f"{value!r} stands where a message of the guardian has a number")


def _step(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_STEPS:
        return value
    raise GuardianError(f"{value!r:.40} stands where a message of the guardian has the number of a step")


def set_points_to_json(set_points: SetPoints, *, sent_s: float) -> Message:
    """Return set-points as JSON; ``sent_s`` is the monotonic clock of this machine when they left [s]."""
    return {
        "step": set_points.step,
        "expires_s": _number(set_points.expires_s),
        "sent_s": sent_s,
        "values": {
            device: {command: _number(value) for command, value in commands.items()}
            for device, commands in set_points.values.items()
        },
    }


def set_points_from_json(message: Message) -> tuple[SetPoints, float]:
    """Return set-points and when they were sent [s]; an unknown number becomes NaN, which the guard refuses.

    Raises:
        GuardianError: the message does not have their form.
    """
    try:
        set_points = SetPoints(
            step=_step(message["step"]),
            expires_s=_float(message["expires_s"]),
            values={
                str(device): {str(command): _float(value) for command, value in commands.items()}
                for device, commands in message["values"].items()
            },
        )
        return set_points, _float(message["sent_s"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GuardianError(f"set-points have another form than expected: {error!r}") from error


def _sample_to_json(sample: Sample) -> list[Any]:
    return [
        _number(sample.value),
        int(sample.quality),
        _number(sample.received_s),
        _number(sample.device_time_s),
    ]


def _sample_from_json(parts: list[Any]) -> Sample:
    value, quality, received_s, device_time_s = parts
    return Sample(
        value=_float(value),
        quality=Quality(quality),
        received_s=_float(received_s),
        device_time_s=_float(device_time_s),
    )


def image_to_json(image: Image) -> Message:
    """Return an image as JSON."""
    return {
        "devices": {
            name: {
                "state": device.state.value,
                "signals": {signal: _sample_to_json(sample) for signal, sample in device.signals.items()},
                "commanded": {command: _number(value) for command, value in device.commanded.items()},
                "trouble": device.trouble,
                "is_foreign": device.is_foreign,
            }
            for name, device in image.devices.items()
        },
        "events": list(image.events),
    }


def image_from_json(message: Message) -> Image:
    """Return the image in a message; ``GuardianError`` where it has another form."""
    try:
        return Image(
            devices={
                name: DeviceImage(
                    state=GuardState(device["state"]),
                    signals={signal: _sample_from_json(parts) for signal, parts in device["signals"].items()},
                    commanded={command: _float(value) for command, value in device["commanded"].items()},
                    # recordings of older runs do not have them
                    trouble=str(device.get("trouble", "")),
                    is_foreign=device.get("is_foreign") is True,
                )
                for name, device in message["devices"].items()
            },
            events=tuple(message["events"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GuardianError(f"an image has another form than expected: {error!r}") from error


def report_to_json(report: FinalReport) -> Message:
    """Return a final report as JSON."""
    return {
        "reason": report.reason,
        "devices": {
            name: {
                "state": device.state.value,
                "released": device.released,
                "text": device.text,
                "writes": device.writes,
                "refused": device.refused,
            }
            for name, device in report.devices.items()
        },
        "events": list(report.events),
    }


def report_from_json(message: Message) -> FinalReport:
    """Return the final report in a message; ``GuardianError`` where it has another form."""
    try:
        return FinalReport(
            reason=message["reason"],
            devices={
                name: DeviceReport(
                    state=GuardState(device["state"]),
                    released=bool(device["released"]),
                    text=device["text"],
                    writes=int(device["writes"]),
                    refused=int(device["refused"]),
                )
                for name, device in message["devices"].items()
            },
            events=tuple(message["events"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GuardianError(f"a final report has another form than expected: {error!r}") from error


def _target_to_json(target: Target) -> Message:
    match target:
        case TcpTarget():
            if target.tls is not None:
                msg = f"{target}: a TLS context cannot be handed to the guardian; name its files in DeviceConfig.tls"
                raise GuardianError(msg)
            return {"kind": "tcp", "host": target.host, "port": target.port}
        case RtuOverTcpTarget():
            return {"kind": "rtu_over_tcp", "host": target.host, "port": target.port}
        case SerialTarget():
            return {
                "kind": "serial",
                "path": target.path,
                "baudrate": target.baudrate,
                "parity": target.parity.value,
                "stopbits": target.stopbits,
                "turnaround_s": target.turnaround_s,
            }


def _target_from_json(message: Message) -> Target:
    kind = message["kind"]
    if kind == "tcp":
        return TcpTarget(host=message["host"], port=int(message["port"]))
    if kind == "rtu_over_tcp":
        return RtuOverTcpTarget(host=message["host"], port=int(message["port"]))
    if kind == "serial":
        return SerialTarget(
            path=message["path"],
            baudrate=int(message["baudrate"]),
            parity=Parity(message["parity"]),
            stopbits=int(message["stopbits"]),
            turnaround_s=_float(message["turnaround_s"]),
        )
    raise ValueError(f"target of kind {kind!r}")


def _device_to_json(device: DeviceConfig) -> Message:
    return {
        "name": device.name,
        "map_file": str(device.map_file),
        "target": _target_to_json(device.target),
        "unit": device.unit,
        "serial": device.serial,
        "emulated": device.emulated,
        "limits": {
            name: {"low": _number(limit.low), "high": _number(limit.high), "ramp_per_s": limit.ramp_per_s}
            for name, limit in device.limits.items()
        },
        "acceptance_file": None if device.acceptance_file is None else str(device.acceptance_file),
        "tls": None
        if device.tls is None
        else {
            "certificate": str(device.tls.certificate),
            "key": str(device.tls.key),
            "authority": str(device.tls.authority),
        },
    }


def _device_from_json(message: Message) -> DeviceConfig:
    acceptance, tls = message["acceptance_file"], message["tls"]
    return DeviceConfig(
        name=message["name"],
        map_file=Path(message["map_file"]),
        target=_target_from_json(message["target"]),
        unit=int(message["unit"]),
        serial=message["serial"],
        emulated=message["emulated"] is True,
        limits={
            name: Limits(
                low=_float(limit["low"]),
                high=_float(limit["high"]),
                ramp_per_s=None if limit["ramp_per_s"] is None else _float(limit["ramp_per_s"]),
            )
            for name, limit in message["limits"].items()
        },
        acceptance_file=None if acceptance is None else Path(acceptance),
        tls=None if tls is None else TlsFiles(**{key: Path(path) for key, path in tls.items()}),
    )


def config_to_json(config: GuardianConfig) -> Message:
    """Return a configuration as JSON; ``GuardianError`` where a target holds a TLS context."""
    return {
        "devices": [_device_to_json(device) for device in config.devices],
        "state": config.state.value,
        "poll_s": config.poll_s,
        "feed_timeout_s": config.feed_timeout_s,
        "armed_for_s": config.armed_for_s,
        "folder": str(config.folder),
        "step_s": config.step_s,
    }


def config_from_json(message: Message) -> GuardianConfig:
    """Return the configuration in a message; ``GuardianError`` where it has another form."""
    try:
        return GuardianConfig(
            devices=tuple(_device_from_json(device) for device in message["devices"]),
            state=GuardState(message["state"]),
            poll_s=_float(message["poll_s"]),
            feed_timeout_s=_float(message["feed_timeout_s"]),
            armed_for_s=_float(message["armed_for_s"]),
            folder=Path(message["folder"]),
            step_s=None if message["step_s"] is None else _float(message["step_s"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GuardianError(
            f"a guardian's configuration has another form than expected: {error!r}"
        ) from error
