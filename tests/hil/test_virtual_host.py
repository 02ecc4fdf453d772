"""Devices of a host process, seen by programs of others: mbpoll, pysunspec2."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from virtual_hosts import LIMIT, Sun, host_of, polled, pv, until, written

from hil_adapters.sunspec.chain import Chain
from hil_adapters.sunspec.discovery import discover
from hil_adapters.virtual.protection import ProtectionSettings
from hil_adapters.wire.base import TcpTarget
from hil_adapters.wire.links import open_link
from models.fmu.ours.catalogue import LIBRARY
from twin.errors import RunError
from twin.virtual.config import (
    FmuPart,
    FmuWire,
    PhysicsConfig,
    ScaleChangePart,
    SunSpecPart,
    VirtualDeviceConfig,
)
from twin.virtual.link import started_host


def battery(heartbeat_s: float | None = None) -> VirtualDeviceConfig:
    return VirtualDeviceConfig(
        name="battery",
        map="sunspec_battery",
        physics=PhysicsConfig(kind="battery", parameters={"capacity_kwh": 10.0, "soc_start": 0.6}),
        sunspec=SunSpecPart(heartbeat_s=heartbeat_s),
    )


def test_mbpoll_sees_a_limit_act_and_let_go() -> None:
    with started_host(host_of(pv())) as host:
        port = host.ports["pv"]
        assert polled(port, 40000, 2) == [0x5375, 0x6E53]
        assert polled(port, LIMIT, 2) == [123, 24]
        assert polled(port, 40070 + 14) == [8000], "the physics have run before anybody can ask"
        percent, revert_s, enable = LIMIT + 5, LIMIT + 7, LIMIT + 9
        assert written(port, revert_s, 1) == 0
        assert written(port, percent, 2000) == 0
        assert written(port, enable, 1) == 0
        until(lambda: polled(port, 40070 + 14) == [2000])
        until(lambda: polled(port, 40070 + 14) == [8000])
        assert polled(port, enable) == [0]
        assert polled(port, revert_s) == [1]


def test_mbpoll_is_refused_what_the_device_does_not_take() -> None:
    with started_host(host_of(pv())) as host:
        port = host.ports["pv"]
        assert written(port, LIMIT + 5, 10001) != 0
        assert written(port, 40070 + 14, 1) != 0
        assert polled(port, LIMIT + 5) == [10000]


def test_pysunspec2_reads_every_model_and_commands_a_battery() -> None:
    with started_host(host_of(pv(), battery())) as host:
        with Sun(host.ports["pv"]) as sun:
            assert sun[1].SN.cvalue == "SN-1"
            assert sun[120].WRtg.cvalue == 10000
            assert sun[103].PhVphA.cvalue == pytest.approx(230.0)
            assert sun[123].OutPFSet.cvalue is None
        with Sun(host.ports["battery"]) as sun:
            assert sun[124].WChaMax.cvalue == 5000
            control = sun[124]
            control.InWRte.cvalue, control.OutWRte.cvalue, control.StorCtl_Mod.cvalue = -40, 40, 3
            control.write()
            until(lambda: sun[103].W.cvalue == 2000)
            assert sun[124].ChaSt.cvalue == 3
            assert sun[802].SoC.cvalue == pytest.approx(60.0, abs=0.1)


def test_the_run_says_what_surrounds_the_devices_and_the_volt_var_function_answers() -> None:
    functions = PhysicsConfig(
        kind="pv_inverter",
        parameters={"p_rated_kw": 10.0, "s_rated_kva": 11.0, "mode": 2.0},
        inputs={"p_available_kw": -8.0},
    )
    with started_host(host_of(pv(physics=functions))) as host, Sun(host.ports["pv"]) as sun:
        until(lambda: sun[103].VAr.cvalue == 0)
        host.world({"pv": {"vm_pu": 1.10}})
        # Q(V): full absorption, 0.436 of rated power, at and above 1.10
        until(lambda: sun[103].VAr.cvalue == -4360)
        assert sun[103].PhVphA.cvalue == pytest.approx(253.0)
        host.world({"pv": {"vm_pu": 1.0, "p_available_kw": -3.0}})
        until(lambda: sun[103].VAr.cvalue == 0 and sun[103].W.cvalue == 3000)


def test_a_served_battery_stops_where_its_controller_falls_silent() -> None:
    with started_host(host_of(battery(heartbeat_s=1.0))) as host, Sun(host.ports["battery"]) as sun:
        control, beating = sun[124], sun[802]
        control.InWRte.cvalue, control.OutWRte.cvalue, control.StorCtl_Mod.cvalue = -40, 40, 3
        control.write()
        until(lambda: sun[103].W.cvalue == 2000)
        beating.CtrlHb.cvalue = 1
        beating.CtrlHb.write()
        until(lambda: sun[103].W.cvalue == 0 and sun[802].Evt1.cvalue == 1)
        beating.CtrlHb.cvalue = 2
        beating.CtrlHb.write()
        until(lambda: sun[103].W.cvalue == 2000)


def test_faster_physics_reach_the_connection_after_thirty_simulated_seconds() -> None:
    with (
        started_host(host_of(pv(protection=ProtectionSettings()), speed=100.0)) as host,
        Sun(host.ports["pv"]) as sun,
    ):
        until(lambda: 0 < sun[103].W.cvalue < 8000)
        until(lambda: sun[103].W.cvalue == 8000)
        host.world({"pv": {"frequency_hz": 52.0}})
        until(lambda: sun[103].St.cvalue == 7)
        assert sun[103].W.cvalue == 0


def test_several_units_share_a_port_and_others_do_not_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meter = VirtualDeviceConfig(
        name="meter",
        map="generic_meter",
        unit=9,
        port=port,
        physics=PhysicsConfig(kind="meter", inputs={"p_kw": 1.5}),
    )
    with started_host(host_of(pv(port=port), meter)) as host:
        assert host.ports == {"pv": port, "meter": port}
        assert polled(port, 40000, 2, unit=1) == [0x5375, 0x6E53]
        with pytest.raises(AssertionError, match=r"arget device failed"):
            polled(port, 40000, 2, unit=5)


def test_two_devices_with_the_same_port_and_unit_are_refused() -> None:
    with (
        pytest.raises(RunError, match="share a port and a unit"),
        started_host(host_of(pv(port=5022), pv("b", port=5022))),
    ):
        pass


def test_a_device_may_deviate_from_the_standard_and_is_still_discovered() -> None:
    odd = pv(sunspec=SunSpecPart(end="one_zero", short_common=True, base=50000))

    async def chain_of(port: int) -> Chain:
        link = open_link(TcpTarget(host="127.0.0.1", port=port))
        await link.open()
        try:
            return await discover(link, 1, timeout_s=5.0)
        finally:
            await link.close()

    with started_host(host_of(odd)) as host:
        chain = asyncio.run(chain_of(host.ports["pv"]))
    assert chain.base == 50000
    assert [model.model for model in chain.models] == [1, 103, 120, 121, 122, 123, 160]
    assert chain.models[0].length == 65
    assert chain.quirks


def test_a_scale_factor_may_change_while_the_value_stays() -> None:
    change = ScaleChangePart(point="103.W_SF", exponents=(0, 1), every_s=0.1)
    with started_host(host_of(pv(sunspec=SunSpecPart(scale_changes=(change,))))) as host:
        seen: set[tuple[int, ...]] = set()

        def both_seen() -> bool:
            # power and its scale factor in one read
            seen.add(tuple(polled(host.ports["pv"], 40070 + 14, 2)))
            return {(8000, 0), (800, 1)} <= seen

        until(both_seen)
        assert seen == {(8000, 0), (800, 1)}, "never a value with the scale factor of another"


def test_a_device_may_refuse_a_second_client() -> None:
    with started_host(host_of(pv(max_clients=1))) as host:
        address = ("127.0.0.1", host.ports["pv"])
        ask = bytes.fromhex("00010000000601039c400002")
        with (
            socket.create_connection(address, timeout=5) as first,
            socket.create_connection(address, timeout=5) as second,
        ):
            assert second.recv(1) == b"", "the second client is closed"
            first.sendall(ask)
            assert first.recv(64).endswith(b"SunS")


def test_an_fmu_is_the_inside_of_a_device() -> None:
    fmu = PhysicsConfig(
        kind="fmu",
        parameters={"charge_kw": 5.0, "discharge_kw": 5.0, "capacity_kwh": 10.0},
        inputs={"p_set_kw": 0.0},
        fmu=FmuPart(
            file=str(LIBRARY / "battery_fmi2.fmu"),
            inputs=(FmuWire(signal="p_set_kw", variable="p_set_kw"),),
            outputs=(
                FmuWire(signal="p_kw", variable="p_kw", take="mean"),
                FmuWire(signal="soc", variable="soc"),
            ),
            trusted=True,
        ),
    )
    device = VirtualDeviceConfig(name="battery", map="sunspec_battery", physics=fmu)
    with started_host(host_of(device)) as host, Sun(host.ports["battery"]) as sun:
        control = sun[124]
        control.InWRte.cvalue, control.OutWRte.cvalue, control.StorCtl_Mod.cvalue = 50, -50, 3
        control.write()
        until(lambda: sun[103].W.cvalue == -2500)
        assert sun[802].SoC.cvalue == pytest.approx(50.0, abs=0.1)


def test_every_write_is_in_the_log_of_the_device(tmp_path: Path) -> None:
    log = tmp_path / "writes.jsonl"
    with started_host(host_of(pv(write_log=str(log)))) as host:
        written(host.ports["pv"], LIMIT + 5, 4000)
        written(host.ports["pv"], LIMIT + 5, 10001)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["address"], line["values"], line["refused"]) for line in lines] == [
        (LIMIT + 5, [4000], None),
        (LIMIT + 5, [10001], 3),
    ]


def test_faults_of_a_script_reach_the_client() -> None:
    faults = [{"fault": "exception", "parameters": {"code": 6}}]
    with started_host(host_of(pv(faults=faults))) as host, pytest.raises(AssertionError, match="busy"):
        polled(host.ports["pv"], 40000)
