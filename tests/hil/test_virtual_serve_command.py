"""``twin device serve``."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
import typer
from typer.testing import CliRunner

from twin.cli.device_serve import serve_command
from twin.errors import InputError
from twin.virtual.standalone import Wanted, is_loopback, standalone_config

MARKER_REQUEST = bytes.fromhex("000100000006" + "01" + "03" + "9c40" + "0002")


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(serve_command)
    return app


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    code = "import typer; from twin.cli.device_serve import serve_command; typer.run(serve_command)"
    line = [sys.executable, "-c", code, *arguments, "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, json.loads(_object(process.stdout))
        finally:
            process.kill()


def _object(stream: IO[str] | None) -> str:
    """Return the lines of one JSON object."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if line.startswith("}"):
            break
    return "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_interrupted_and_ends_well(number: signal.Signals) -> None:
    with serving("sunspec_pv", "--port", "0", "--set", "p_rated_kw=6") as (process, told):
        assert (told["map"], told["host"], told["unit"]) == ("sunspec_pv", "127.0.0.1", 1)
        with socket.create_connection(("127.0.0.1", int(str(told["port"]))), timeout=10) as client:
            client.sendall(MARKER_REQUEST)
            assert client.recv(64).endswith(b"SunS")
        process.send_signal(number)
        assert process.wait(10) == 0


def test_beyond_this_machine_it_needs_to_know_for_whom_and_says_so_loudly() -> None:
    refused = CliRunner().invoke(command(), ["sunspec_pv", "--host", "0.0.0.0"])  # noqa: S104 - is refused
    assert refused.exit_code == 2
    assert "--allow" in refused.output
    arguments = ("sunspec_pv", "--port", "0", "--host", "0.0.0.0", "--allow", "127.0.0.1")  # noqa: S104 - this machine only
    with serving(*arguments) as (process, _):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert "WARNING" in said
        assert "127.0.0.1" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no_such_map"], "there is no register map"),
        (["sunspec_pv", "--set", "p_rated_kw"], "write name=value"),
        (["sunspec_pv", "--port", "0", "--set", "123.WMaxLimPc=50"], "did you mean 123.WMaxLimPct"),
        (["generic_load", "--port", "0"], "say what computes the device with --physics"),
        (["sunspec_pv", "--faults", "/no/such.yaml"], "/no/such.yaml"),
        (["generic_charger", "--protection"], "interface protection is for generators"),
        (["sunspec_battery", "--set", "heartbeat_s=0"], "give a time above zero"),
        (["sunspec_pv", "--port", "0", "--set", "heartbeat_s=5"], "no 802.CtrlHb to watch"),
        (["sunspec_pv", "--set", "p_ratd_kw=6"], "did you mean p_rated_kw"),
        (["sunspec_pv", "--set", "wrong=6"], "the physics take "),
        (["sunspec_pv", "--set", "p_rated_kw=six"], "p_rated_kw=six: give a number"),
        (["generic_meter", "--set", "p_totl=6"], "did you mean p_total"),
        (["keba_p30", "--set", "serial=KEBA-7"], "write digits only"),
    ],
)
def test_mistakes_are_told_in_a_line_and_end_with_2(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(command(), arguments)
    assert (result.exit_code, says in result.output) == (2, True), result.output


def test_a_port_in_use_is_told_with_a_way_out_and_ends_with_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(command(), ["sunspec_pv", "--port", port])
    assert (result.exit_code, "choose another port" in result.output) == (2, True), result.output


def test_a_serial_number_of_digits_is_taken_where_the_map_keeps_a_number() -> None:
    device = standalone_config(Wanted(map="keba_p30", settings=("serial=17579483",))).devices[0]
    assert device.serial == "17579483"


def test_settings_go_to_physics_surroundings_points_and_serial_number() -> None:
    settings = ("p_rated_kw=6", "s_rated_kva=7", "vm_pu=1.05", "123.WMaxLimPct=50", "serial=007", "1.Md=Mine")
    device = standalone_config(Wanted(map="sunspec_pv", settings=settings)).devices[0]
    assert device.physics.kind == "pv_inverter"
    assert device.physics.parameters == {"p_rated_kw": 6.0, "s_rated_kva": 7.0}
    assert device.physics.inputs == {"vm_pu": 1.05, "p_available_kw": -6.0}, "full sun unless told otherwise"
    assert device.values == {"123.WMaxLimPct": 50.0, "1.Md": "Mine"}
    assert device.serial == "007"


def test_a_battery_is_told_how_long_it_waits_for_a_heartbeat() -> None:
    settings = ("heartbeat_s=10", "soc_start=0.5")
    device = standalone_config(Wanted(map="sunspec_battery", settings=settings)).devices[0]
    assert device.sunspec.heartbeat_s == 10.0
    assert device.values == {}


def test_the_physics_follow_the_kind_of_the_map_unless_they_are_named() -> None:
    kinds = {
        name: standalone_config(Wanted(map=name)).devices[0].physics.kind
        for name in ("sunspec_battery", "generic_meter")
    }
    assert kinds == {"sunspec_battery": "battery", "generic_meter": "meter"}
    heater = standalone_config(Wanted(map="generic_load", physics="water_heater"))
    assert heater.devices[0].physics.kind == "water_heater"


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.168.1.5", False), ("pc", False)],
)
def test_loopback_is_known(host: str, *, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_an_open_address_with_clients_named_is_taken() -> None:
    config = standalone_config(Wanted(map="sunspec_pv", host="192.168.1.5", allow=("192.168.1.0/24",)))
    assert config.allow == ("192.168.1.0/24",)
    with pytest.raises(InputError, match="--allow"):
        standalone_config(Wanted(map="sunspec_pv", host="192.168.1.5"))
