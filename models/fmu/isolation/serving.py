"""How a process in which foreign FMUs run answers: one request after the other, until nobody asks any more."""

import os
from collections.abc import Callable
from multiprocessing.connection import Connection

from models.fmu.isolation.protocol import RELAYED, failure, read_request, succeeded

__all__ = ["serve"]


def serve(channel: "Connection[bytes, bytes]", answer: Callable[[int, bytes], bytes], *, folder: str) -> None:
    """Say that this process is ready, then answer until the other end of the channel is closed.

    An FMU that forks leaves a second process that comes back from the same call: it ends at once instead of answering
    and asking beside the first.

    Args:
        channel: to the process that asks.
        answer: gives the content of the answer to a request (its kind and content); what it raises is relayed.
        folder: for temporary files; told, so that it can be removed if this process cannot.
    """
    own = os.getpid()
    channel.send_bytes(succeeded(0, folder.encode()))
    try:
        while True:
            kind, number, asked = read_request(channel.recv_bytes())
            try:
                told = succeeded(number, answer(kind, asked))
            except RELAYED as error:
                told = failure(number, error)
            finally:
                if os.getpid() != own:
                    os._exit(0)
            channel.send_bytes(told)
    except (EOFError, ConnectionError):
        return
