"""The process in which a fleet of foreign FMUs runs, from the inside: it answers one request after the other."""

import json
from collections.abc import Callable
from multiprocessing.connection import Connection

from models.devices.base import DeviceBlock
from models.fmu.base import FleetSpec
from models.fmu.isolation.protocol import (
    RELAYED,
    Request,
    failure,
    read_opening,
    read_step,
    succeeded,
)

__all__ = ["OpenBlock", "serve"]

OpenBlock = Callable[[FleetSpec], DeviceBlock]


def serve(channel: "Connection[bytes, bytes]", open_block: OpenBlock, *, folder: str) -> None:
    """Say that this process is ready, then answer until the fleet is closed or nobody asks any more.

    Args:
        channel: to the process that uses the fleet.
        open_block: makes the fleet from what it asks for.
        folder: for temporary files; told, so that it can be removed if this process cannot.
    """
    block: DeviceBlock | None = None
    channel.send_bytes(succeeded(folder.encode()))
    try:
        while True:
            asked = channel.recv_bytes()
            kind, content = Request(asked[0]), asked[1:]
            try:
                if kind == Request.OPEN:
                    block = open_block(read_opening(content))
                    answer = _face(block)
                else:
                    answer = _result(block, kind, content)
            except RELAYED as error:
                channel.send_bytes(failure(error))
            else:
                channel.send_bytes(succeeded(answer))
            if kind == Request.CLOSE:
                return
    except (EOFError, ConnectionError):
        return
    finally:
        if block is not None:
            block.close()


def _face(block: DeviceBlock) -> bytes:
    return json.dumps({"size": block.size, "inputs": block.inputs, "outputs": block.outputs}).encode()


def _result(block: DeviceBlock | None, kind: Request, content: bytes) -> bytes:
    if block is None:
        raise ValueError("the fleet is not open")
    if kind == Request.START:
        return block.start().tobytes()
    if kind == Request.STEP:
        inputs, time_s, dt_s = read_step(content, shape=(len(block.inputs), block.size))
        return block.step(inputs, time_s=time_s, dt_s=dt_s).tobytes()
    if kind == Request.SAVE:
        return block.save()
    if kind == Request.RESTORE:
        block.restore(content)
    else:
        block.close()
    return b""
