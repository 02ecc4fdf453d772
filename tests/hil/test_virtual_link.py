"""A run's end of the host process: mistakes, losses, the end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest
from virtual_hosts import PATIENCE_S, host_of, polled, pv, until

from twin.errors import RunError
from twin.virtual.config import (
    PhysicsConfig,
    SunSpecPart,
)
from twin.virtual.link import started_host


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"map": "no_such_map"}, "there is no register map 'no_such_map'"),
        ({"physics": PhysicsConfig(kind="pv_inverter", parameters={"p_ratd_kw": 1.0})}, "p_ratd_kw"),
        ({"physics": PhysicsConfig(kind="battery", inputs={"p_available_kw": 1.0})}, "p_available_kw"),
        ({"physics": PhysicsConfig(kind="fmu")}, "needs a file"),
        ({"values": {"123.WMaxLimPc": 1.0}}, "did you mean 123.WMaxLimPct"),
        ({"sunspec": SunSpecPart(models=(1, 103, 9999))}, "9999"),
        ({"faults": "/no/such/file.yaml"}, "/no/such/file.yaml"),
    ],
)
def test_a_device_that_cannot_be_made_is_named_with_the_reason(changes: dict[str, Any], says: str) -> None:
    with (
        pytest.raises(RunError, match="pv.*" + re.escape(says) if "map" in changes else re.escape(says)),
        started_host(host_of(pv(**changes))),
    ):
        pass


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(RunError, match=f"cannot listen on 127.0.0.1:{port}"),
            started_host(host_of(pv(port=port))),
        ):
            pass


def test_values_that_are_not_numbers_and_devices_that_are_not_there_are_refused() -> None:
    with started_host(host_of(pv())) as host:
        with pytest.raises(RunError, match="vm_pu is nan"):
            host.world({"pv": {"vm_pu": float("nan")}})
        with pytest.raises(RunError, match="'other' is not in this host"):
            host.world({"other": {"vm_pu": 1.0}})


def test_a_host_that_is_killed_is_noticed_by_the_next_word_of_the_run() -> None:
    with started_host(host_of(pv())) as host:
        os.kill(host.pid, signal.SIGKILL)

        def told() -> bool:
            try:
                host.world({"pv": {"vm_pu": 1.0}})
            except RunError as error:
                return "has ended" in str(error)
            return False

        until(told)


def test_a_host_that_is_stopped_does_not_block_the_run_and_is_ended() -> None:
    with started_host(host_of(pv())) as host:
        os.kill(host.pid, signal.SIGSTOP)
        started_s = time.monotonic()
        for step in range(20_000):
            host.world({"pv": {"vm_pu": 1.0 + step * 1e-6}})
        assert time.monotonic() - started_s < PATIENCE_S
        os.kill(host.pid, signal.SIGCONT)


def test_the_host_ends_where_the_run_was_killed_in_the_middle_of_a_line() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "twin.virtual.host_main"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        try:
            assert host.stdin is not None
            assert host.stdout is not None
            host.stdin.write(host_of(pv()).model_dump_json() + "\n")
            host.stdin.flush()
            assert host.stdout.readline().startswith('{"ports"')
            _, said = host.communicate('{"pv": {"vm_p', timeout=PATIENCE_S)
        finally:
            host.kill()
    assert (host.returncode, said) == (0, "the run was killed while it said what surrounds the devices\n")


def test_the_host_outlives_a_ctrl_c_of_the_run_and_ends_with_it() -> None:
    code = (
        "import sys, time\n"
        "from twin.virtual.config import *\n"
        "from twin.virtual.link import started_host\n"
        f"config = HostConfig.model_validate_json({host_of(pv()).model_dump_json()!r})\n"
        "with started_host(config) as host:\n"
        "    print(host.ports['pv'], flush=True)\n"
        "    try:\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        port = int(run.stdout.readline())
        os.killpg(run.pid, signal.SIGINT)
        assert run.stdout.readline() == "interrupted\n"
        assert polled(port, 40000, 2) == [0x5375, 0x6E53]
        run.kill()
        run.wait()

        def gone() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        until(gone)
