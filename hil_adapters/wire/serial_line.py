"""A serial line for asyncio: pyserial opens it; bytes come through the event loop, or a thread where it has no files."""

import asyncio
import os
import sys
import threading
from typing import Final

from hil_adapters.wire.base import Parity, SerialTarget

try:
    import serial
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'devices on the wire need pyserial; install it with: pip install "gemello[hil]"', name="serial"
    ) from error

__all__ = ["SerialChannel", "open_serial"]

if sys.platform == "win32":
    _Refused = ValueError
else:
    import termios

    _Refused = termios.error

_PARITIES: Final = {
    Parity.NONE: serial.PARITY_NONE,
    Parity.EVEN: serial.PARITY_EVEN,
    Parity.ODD: serial.PARITY_ODD,
}
_CHUNK: Final = 4096
_THREAD_WAIT_S: Final = 0.1


def open_serial(target: SerialTarget, protocol: asyncio.Protocol) -> "SerialChannel":
    """Open a line for this process alone; ``protocol`` gets ``data_received`` and ``connection_lost``.

    Raises:
        OSError: the line is not there, is in use, or may not be opened.
    """
    # a pseudo-terminal has no parity bits, and its second user would be refused the setting
    is_pseudo = os.path.realpath(target.path).startswith("/dev/pts/")
    try:
        port = serial.Serial(
            target.path,
            baudrate=target.baudrate,
            parity=serial.PARITY_NONE if is_pseudo else _PARITIES[target.parity],
            stopbits=target.stopbits,
            timeout=0,
            write_timeout=0,
            exclusive=True if os.name == "posix" else None,
        )
    except _Refused as refused:
        raise OSError(f"the line does not take these settings: {refused}") from refused
    port.reset_input_buffer()
    return SerialChannel(port, protocol)


class SerialChannel:
    """One open line."""

    def __init__(self, port: serial.Serial, protocol: asyncio.Protocol) -> None:
        self._port = port
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._thread: threading.Thread | None = None
        try:
            self._loop.add_reader(port.fileno(), self._readable)
        except (NotImplementedError, AttributeError, OSError):
            # event loops of Windows do not watch serial lines
            port.timeout = _THREAD_WAIT_S
            self._thread = threading.Thread(target=self._read_along, name=f"serial {port.name}", daemon=True)
            self._thread.start()

    def write(self, data: bytes) -> None:
        """Send; a line that does not take a whole frame at once counts as lost."""
        if not self._is_open:
            return
        try:
            n_written = self._port.write(data)
        except OSError as gone:
            self._end(gone)
            return
        if n_written != len(data):
            self._end(OSError(f"{self._port.name} took {n_written} of {len(data)} bytes"))

    def close(self) -> None:
        """Close; ``connection_lost`` follows."""
        self._end(None)

    def abort(self) -> None:
        """Close at once."""
        self._end(None)

    def _readable(self) -> None:
        if not self._is_open:
            return
        try:
            data = os.read(self._port.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError as gone:
            self._end(gone)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._end(OSError(f"{self._port.name} has hung up"))

    def _read_along(self) -> None:
        while self._is_open:
            try:
                data = self._port.read(max(1, self._port.in_waiting))
            except (OSError, TypeError) as gone:
                # pyserial raises TypeError where the line was closed while it read
                if self._is_open:
                    self._loop.call_soon_threadsafe(self._end, gone)
                return
            if data:
                self._loop.call_soon_threadsafe(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self._is_open:
            self._protocol.data_received(data)

    def _end(self, cause: Exception | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._thread is None:
            self._loop.remove_reader(self._port.fileno())
        else:
            self._port.cancel_read()
            self._thread.join()
        self._port.close()
        self._loop.call_soon(self._protocol.connection_lost, cause)
