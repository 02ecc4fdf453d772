"""How a process in which foreign FMUs run answers: one request after the other, until nobody asks any more."""

from collections.abc import Callable
from multiprocessing.connection import Connection

from models.fmu.isolation.protocol import RELAYED, failure, succeeded

__all__ = ["serve"]


def serve(channel: "Connection[bytes, bytes]", answer: Callable[[int, bytes], bytes], *, folder: str) -> None:
    """Say that this process is ready, then answer until the other end of the channel is closed.

    Args:
        channel: to the process that asks.
        answer: gives the content of the answer to a request (its number and content); what it raises is relayed.
        folder: for temporary files; told, so that it can be removed if this process cannot.
    """
    channel.send_bytes(succeeded(folder.encode()))
    try:
        while True:
            asked = channel.recv_bytes()
            try:
                content = answer(asked[0], asked[1:])
            except RELAYED as error:
                channel.send_bytes(failure(error))
            else:
                channel.send_bytes(succeeded(content))
    except (EOFError, ConnectionError):
        return
