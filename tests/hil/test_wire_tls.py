"""Modbus/TCP Security with the certificates that pysunspec2 ships, and openssl as a peer of its own."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from modbus_peers import PATIENCE_S, AddressBank, outcome, run_program, until
from outside import program

from hil_adapters.errors import ExceptionReplyError, LinkLostError
from hil_adapters.wire.base import Table, TcpTarget
from hil_adapters.wire.framing import mbap_frame
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values, write_request
from hil_adapters.wire.server import ModbusServer
from hil_adapters.wire.tls import ServerSecurity, _utf8_string, client_context, server_context

PKI = Path(str(files("sunspec2"))) / "tests" / "tls_data"
READ = read_request(Table.HOLDING, 1000, 2)
WRITE = write_request(Table.HOLDING, 5, [7], single=True)


def certificate(name, folder):
    return PKI / folder / f"{name}.crt", PKI / folder / f"{name}.key"


@asynccontextmanager
async def secure_server(server="server_valid", folder="server/tls1_3"):
    cert, key = certificate(server, folder)
    bank = AddressBank()
    security = ServerSecurity(context=server_context(cert, key, ca=PKI / "ca" / "client_ca_chain.crt"))
    modbus = ModbusServer(bank, tls=security)
    await modbus.start()
    try:
        yield modbus, bank
    finally:
        await modbus.stop()


def context_of(name, folder):
    cert, key = certificate(name, folder)
    return client_context(PKI / "ca" / "server_ca_chain.crt", cert=cert, key=key)


def ask(context, *requests, **server):
    """Open a link and ask; return the results (the error of ``open`` alone where that fails) and the bank."""

    async def scenario():
        async with secure_server(**server) as (modbus, bank):
            link = open_link(TcpTarget(host="localhost", port=modbus.port, tls=context))
            opened = await outcome(link.open())
            if opened is not None:
                return [opened], bank
            results = [await outcome(link.request(1, request, timeout_s=5)) for request in requests]
            await link.close()
            return results, bank

    return asyncio.run(scenario())


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize(
    ("name", "role", "may_write"),
    [
        ("client_readonly", "ReadOnlySunSpec", False),
        ("client_gridservice", "GridServiceSunSpec", True),
        ("client_netadmin", "NetworkAdministratorSunSpec", False),
        ("client_superadmin", "SuperAdministratorSunSpec", True),
    ],
)
def test_the_role_decides_who_may_write(version, name, role, may_write):
    context = context_of(name, f"client/{version}")
    (read, written), bank = ask(context, READ, WRITE, folder=f"server/{version}")
    assert read_values(READ, read) == [1000, 1001]
    if may_write:
        assert written == WRITE
        assert [peer.role for peer in bank.peers] == [role]
    else:
        assert isinstance(written, ExceptionReplyError)
        assert written.code == 1
        assert bank.writes == []


@pytest.mark.parametrize(
    "name",
    ["client_no_role", "client_malformed_role", "client_expired", "client_foreign_ca", "client_self_signed"],
)
def test_a_client_without_a_role_or_a_valid_certificate_is_turned_away(name):
    [result], bank = ask(context_of(name, "client/invalid"), WRITE)
    assert isinstance(result, LinkLostError)
    assert bank.writes == []


def test_a_client_without_a_certificate_is_turned_away():
    [result], _ = ask(client_context(PKI / "ca" / "server_ca_chain.crt"), READ)
    assert isinstance(result, LinkLostError)


@pytest.mark.parametrize(
    "name", ["server_expired", "server_foreign_ca", "server_self_signed", "server_no_san"]
)
def test_a_server_that_cannot_be_trusted_is_not_spoken_to(name):
    context = context_of("client_gridservice", "client/tls1_3")
    [result], _ = ask(context, READ, server=name, folder="server/invalid")
    assert isinstance(result, LinkLostError)
    assert "cannot connect" in str(result)


def test_a_plain_client_gets_nothing_from_a_secure_server():
    [result], _ = ask(None, READ)
    assert isinstance(result, LinkLostError)


def test_a_request_in_two_records_is_answered_once():
    async def scenario():
        async with secure_server() as (modbus, _):
            context = context_of("client_readonly", "client/tls1_3")
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection("localhost", modbus.port, ssl=context)
                frame = mbap_frame(1, 1, READ)
                for part in (frame[:5], frame[5:9], frame[9:]):
                    writer.write(part)
                    await writer.drain()
                writer.write(mbap_frame(2, 1, READ))
                answers = await reader.readexactly(26)
                writer.close()
                await writer.wait_closed()
                return answers

    answers = asyncio.run(scenario())
    assert answers == mbap_frame(1, 1, bytes.fromhex("03 04 03E8 03E9")) + mbap_frame(
        2, 1, bytes.fromhex("03 04 03E8 03E9")
    )


def openssl_session(name, folder, data):
    cert, key = certificate(name, folder)

    async def scenario():
        async with secure_server() as (modbus, bank):
            await run_program(
                program("openssl"),
                *("s_client", "-quiet", "-no_ign_eof", "-connect", f"127.0.0.1:{modbus.port}"),
                *("-cert", str(cert), "-key", str(key)),
                *("-CAfile", str(PKI / "ca" / "server_ca_chain.crt"), "-verify_return_error"),
                stdin=data,
            )
            counts = modbus.statistics
            await until(lambda: counts.requests + counts.refused_connections > 0)
            return counts, bank

    return asyncio.run(scenario())


def test_openssl_is_served_as_its_role_allows():
    write = mbap_frame(1, 1, WRITE)
    statistics, bank = openssl_session("client_gridservice", "client/tls1_3", write)
    assert (statistics.connections, statistics.requests) == (1, 1)
    assert [values for *_, values, _ in bank.writes] == [[7]]
    statistics, bank = openssl_session("client_readonly", "client/tls1_3", write)
    assert (statistics.connections, statistics.requests) == (1, 1)
    assert bank.writes == []


def test_openssl_without_a_role_is_turned_away():
    statistics, bank = openssl_session("client_no_role", "client/invalid", mbap_frame(1, 1, WRITE))
    assert (statistics.refused_connections, statistics.requests) == (1, 0)
    assert bank.writes == []


@pytest.mark.parametrize(
    ("der_hex", "role"),
    [
        ("0C 02 41 42", "AB"),
        ("16 02 41 42", None),
        ("0C 03 41 42", None),
        ("0C 01 41 42", None),
        ("0C 00", None),
        ("0C 81 02 41 42", None),
        ("0C 01 FF", None),
        ("", None),
    ],
)
def test_only_a_plain_utf8_string_is_a_role(der_hex, role):
    assert _utf8_string(bytes.fromhex(der_hex)) == role


def test_old_versions_of_tls_are_not_spoken():
    assert client_context(PKI / "ca" / "root_ca.crt").minimum_version is ssl.TLSVersion.TLSv1_2
