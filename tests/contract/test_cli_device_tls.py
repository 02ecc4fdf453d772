"""``twin device`` over Modbus/TCP Security, with the certificates that pysunspec2 ships."""

import asyncio
import json
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from acceptance_rig import FollowingBank, limited_map
from guard_rig import SERIAL
from typer.testing import CliRunner

from hil_adapters.guard.evidence import load_report
from hil_adapters.wire.server import ModbusServer
from hil_adapters.wire.tls import ServerSecurity, server_context
from twin.cli import app

PKI = Path(str(files("sunspec2"))) / "tests" / "tls_data"
SERVER = PKI / "server" / "tls1_3" / "server_valid"
CLIENT = PKI / "client" / "tls1_3"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The inverter of the acceptance tests behind TLS, served by another thread."""
    context = server_context(
        SERVER.with_suffix(".crt"), SERVER.with_suffix(".key"), ca=PKI / "ca" / "client_ca_chain.crt"
    )
    server = ModbusServer(FollowingBank(), tls=ServerSecurity(context=context))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def tls(name: str) -> list[str]:
    """Return the options of a client with this certificate."""
    client = CLIENT / name
    return [
        "--tls-ca", str(PKI / "ca" / "server_ca_chain.crt"),
        "--tls-cert", str(client.with_suffix(".crt")),
        "--tls-key", str(client.with_suffix(".key")),
    ]  # fmt: skip


def test_a_device_behind_tls_is_read_with_a_certificate(port: int, tmp_path: Path) -> None:
    where = ["--host", f"localhost:{port}", *tls("client_readonly")]
    result = CliRunner().invoke(app, ["device", "read", str(limited_map(tmp_path)), *where, "--json"])
    assert result.exit_code == 0, result.output
    read = json.loads(result.stdout)
    assert read["identity"]["serial"] == SERIAL
    assert read["target"].startswith("tls://")


def test_a_device_behind_tls_is_tested_with_a_certificate(port: int, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    where = ["--host", f"localhost:{port}", *tls("client_readonly"), "--seconds", "1", "--out", str(out)]
    result = CliRunner().invoke(app, ["device", "check", str(limited_map(tmp_path)), *where])
    assert result.exit_code == 0, result.output
    assert load_report(out).device.serial == SERIAL


def test_a_device_behind_tls_does_not_answer_without_one(port: int, tmp_path: Path) -> None:
    where = ["--host", f"localhost:{port}"]
    result = CliRunner().invoke(app, ["device", "read", str(limited_map(tmp_path)), *where])
    assert result.exit_code == 1
