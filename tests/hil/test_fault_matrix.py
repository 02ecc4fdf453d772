"""Every fault of the catalogue against the link and the session: detected, defined, recovered, nothing wrong accepted."""

import asyncio
from pathlib import Path

import pytest
from modbus_peers import pty_pair

from hil_adapters.errors import LinkError
from hil_adapters.faults.catalogue import Fault, Level, Outcome
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import FaultScript
from hil_adapters.wire.base import ModbusLink, SerialTarget, Table
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values
from hil_adapters.wire.server import Framing, ModbusServer, SerialServer
from tools.fault_matrix import CASES, COUNT, UNIT, AddressBank, Case, LinkResult, Place, run_links, target_of
from tools.fault_sessions import SESSION_CASES, SessionResult, run_sessions
from tools.fault_table import DOCUMENT, catalogue_table, links_table, sessions_table, with_tables

BY_NAME = {str(case): case for case in CASES}
ON_TCP = [str(case) for case in CASES if Framing.TCP in CATALOGUE[case.fault].framings]
ON_RTU = [str(case) for case in CASES if Framing.RTU in CATALOGUE[case.fault].framings]


@pytest.fixture(scope="module")
def tcp() -> dict[str, LinkResult]:
    return asyncio.run(run_links(Framing.TCP))


@pytest.fixture(scope="module")
def rtu() -> dict[str, LinkResult]:
    return asyncio.run(run_links(Framing.RTU))


@pytest.fixture(scope="module")
def sessions() -> dict[str, SessionResult]:
    return asyncio.run(run_sessions())


def check(result: LinkResult, allowed: frozenset[Outcome]) -> None:
    assert result.injected > 0, "the fault was never injected"
    assert result.wrong == 0, "values of another request were taken"
    assert result.outcome in allowed
    assert result.tries == 1, "the request after the fault did not bring right values"


@pytest.mark.parametrize("name", ON_TCP)
def test_over_tcp_a_fault_ends_as_declared_and_the_next_request_is_right(
    tcp: dict[str, LinkResult], name: str
) -> None:
    check(tcp[name], CATALOGUE[BY_NAME[name].fault].tcp)


@pytest.mark.parametrize("name", ON_RTU)
def test_over_rtu_a_fault_ends_as_declared_and_the_next_request_is_right(
    rtu: dict[str, LinkResult], name: str
) -> None:
    check(rtu[name], CATALOGUE[BY_NAME[name].fault].rtu)


def test_the_proxy_does_to_a_device_what_the_server_does_to_itself(tcp: dict[str, LinkResult]) -> None:
    assert asyncio.run(run_links(Framing.TCP, place=Place.PROXY)) == tcp


def test_the_proxy_does_it_over_rtu_too(rtu: dict[str, LinkResult]) -> None:
    assert asyncio.run(run_links(Framing.RTU, place=Place.PROXY)) == rtu


def test_every_fault_of_the_catalogue_is_run() -> None:
    assert {case.fault for case in (*CASES, *SESSION_CASES)} == set(Fault)
    wire = {fault for fault, entry in CATALOGUE.items() if entry.level is not Level.VALUE}
    assert {case.fault for case in CASES} == wire


@pytest.mark.parametrize("name", [str(case) for case in SESSION_CASES])
def test_a_session_never_calls_a_wrong_value_good_and_comes_back(
    sessions: dict[str, SessionResult], name: str
) -> None:
    result = sessions[name]
    assert not result.is_wrong
    assert result.recovery.startswith("good again")


HARMLESS = {"slow", "duplicate", "stale_first", "split", "one_client"}


@pytest.mark.parametrize(
    "name", [str(case) for case in SESSION_CASES if str(case).split(" ", maxsplit=1)[0] not in HARMLESS]
)
def test_the_owner_of_a_session_can_see_every_fault_that_matters(
    sessions: dict[str, SessionResult], name: str
) -> None:
    told = sessions[name].told
    signs = (
        "power bad",
        "power uncertain",
        "told: ",
        "from before",
        "foreign",
        "read back 99",
        "read back 40",
    )
    assert any(sign in told for sign in signs), told


@pytest.mark.parametrize("fault", sorted(HARMLESS - {"one_client"}))
def test_faults_that_do_no_harm_are_not_told(sessions: dict[str, SessionResult], fault: str) -> None:
    assert str(sessions[fault]) == "no error, power good, identified; good again"


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("exception (code 2)", "power bad"),
        ("exception (code 6)", "power uncertain"),
        ("exception (code 11)", "identified; told: gateway"),
        ("missing_value", "power bad"),
        ("scale_out_of_range", "power bad"),
        ("scale_missing", "power bad"),
        ("scale_change", "power uncertain, identified; told: scale_changed"),
        ("frozen", "told: frozen"),
        ("map_shift", "Identity when connecting again, power bad, foreign"),
        ("counter_reset", "told: reboot"),
        ("counter_rollover (left 1)", "told: roll_over"),
        ("reboot (down_s 1)", "told: reboot; set-point lost"),
        ("second_master (value 99, every_s 1)", "read back 99 where 60 was written"),
        ("ignored_write", "read back 40 where 60 was written"),
    ],
)
def test_a_session_tells_a_fault_by_its_name(
    sessions: dict[str, SessionResult], name: str, sign: str
) -> None:
    assert sign in sessions[name].told


def test_the_tables_of_the_documentation_are_those_of_this_run(
    tcp: dict[str, LinkResult], rtu: dict[str, LinkResult], sessions: dict[str, SessionResult]
) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    tables = {
        "catalogue": catalogue_table(),
        "links": links_table(tcp, rtu),
        "sessions": sessions_table(sessions),
    }
    assert text == with_tables(text, tables), "run python -m tools.fault_table and look at what changed"


def test_a_document_without_its_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="put the marks back"):
        with_tables("# Faults\n", {"links": ""})


def test_transaction_zero_is_taken_where_it_is_declared() -> None:
    async def run() -> list[int]:
        plan = FaultPlan(FaultScript(rules=(Case(fault=Fault.ZERO_TRANSACTION).rule(),)))
        server = ModbusServer(AddressBank(), faults=plan)
        link = open_link(target_of(await server.start(), Framing.TCP), zero_transaction=True)
        await link.open()
        request = read_request(Table.HOLDING, 1000, COUNT)
        values = read_values(request, await link.request(UNIT, request, timeout_s=5.0))
        await link.close()
        await server.stop()
        assert plan.counts[Fault.ZERO_TRANSACTION] == 1
        return values

    assert asyncio.run(run()) == [1000, 1001, 1002, 1003]


ON_A_LINE = [
    Fault.SILENT,
    Fault.LATE,
    Fault.DUPLICATE,
    Fault.SPLIT,
    Fault.WRONG_UNIT,
    Fault.BAD_CRC,
    Fault.GARBAGE_BEFORE,
    Fault.TRUNCATED,
    Fault.LOCAL_ECHO,
    Fault.FEWER_REGISTERS,
    Fault.EXCEPTION,
]


@pytest.mark.parametrize("fault", ON_A_LINE)
def test_on_a_serial_line_nothing_wrong_is_taken_and_right_values_come_back(
    fault: Fault, tmp_path: Path
) -> None:
    # 1.0 s: after the deadline of the struck read and its turnaround the late answer is still to come
    parameters = {"delay_s": 0.7} if fault is Fault.LATE else {}
    plan = FaultPlan(
        FaultScript(rules=(Case(fault=fault, parameters=parameters).rule(),)), framing=Framing.RTU
    )

    async def ask(link: ModbusLink, address: int, timeout_s: float) -> str:
        request = read_request(Table.HOLDING, address, COUNT)
        try:
            answer = await link.request(UNIT, request, timeout_s=timeout_s)
        except LinkError as error:
            return type(error).__name__
        assert read_values(request, answer) == list(range(address, address + COUNT))
        return "right"

    async def run(device: str, client: str) -> list[str]:
        server = SerialServer(AddressBank(), device, faults=plan)
        await server.start()
        link = open_link(SerialTarget(path=client, turnaround_s=0.5))
        await link.open()
        heard = [await ask(link, 2000, 5.0), await ask(link, 1000, 0.5)]
        heard += [await ask(link, address, 5.0) for address in (2000, 3000, 4000)]
        await link.close()
        await server.stop()
        return heard

    with pty_pair(tmp_path) as ends:
        heard = asyncio.run(run(*ends))
    assert heard[0] == "right"
    assert heard[2:] == ["right"] * 3
    assert plan.counts[fault] == 1
    if fault not in {Fault.SPLIT, Fault.DUPLICATE}:
        assert heard[1] != "right"
