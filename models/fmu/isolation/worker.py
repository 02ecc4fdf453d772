"""The process in which a fleet of foreign FMUs runs, from the inside."""

import json
from multiprocessing.connection import Connection

from models.devices.base import DeviceBlock
from models.fmu.in_process.fleet import FmuFleet
from models.fmu.isolation.protocol import Request, read_opening, read_step
from models.fmu.isolation.serving import serve

__all__ = ["work"]


def work(channel: "Connection[bytes, bytes]", folder: str) -> None:
    """Run one fleet until nobody asks any more; called by the guard.

    Args:
        channel: to the process that uses the fleet.
        folder: for temporary files.
    """
    block: DeviceBlock | None = None

    def answer(request: int, content: bytes) -> bytes:
        nonlocal block
        kind = Request(request)
        if kind == Request.OPEN:
            block = FmuFleet(read_opening(content))
            return _face(block)
        return _result(block, kind, content)

    try:
        serve(channel, answer, folder=folder)
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
