import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_fmus import build_fmu

from models.errors import FmuArchiveError, FmuError
from models.fmu.base import UnpackedFmu
from models.fmu.binding.instances import make_instance
from models.fmu.binding.loading import MAX_COPIES, folder_of, kept_directory, open_library
from models.fmu.binding.logs import MessageLog, status_name
from models.fmu.reading.archive import unpacked


@pytest.fixture(params=["2.0", "3.0"])
def fmi(request) -> str:
    return str(request.param)


@pytest.fixture
def talker(tmp_path, fmi) -> Iterator[UnpackedFmu]:
    """An FMU that says its own name when it is made, and its number when it steps."""
    file = build_fmu(
        tmp_path,
        name="talker",
        fmi=fmi,
        instantiate_code='say(m, WARNING, "birth", "%s", m->name);',
        step_code='say(m, WARNING, "step", "u is %.1f", u); return WARNING;',
    )
    with unpacked(file) as place:
        yield place


def made(place: UnpackedFmu, *, name: str = "device") -> tuple[Any, MessageLog]:
    log = MessageLog()
    return make_instance(place, name=name, kind="co_simulation", log=log), log


def initialise(instance, fmi: str) -> None:
    if fmi == "2.0":
        instance.setupExperiment()
    instance.enterInitializationMode()
    instance.exitInitializationMode()


def test_each_instance_keeps_its_own_messages(talker, fmi):
    first, first_log = made(talker, name="first")
    second, second_log = made(talker, name="second")
    initialise(first, fmi)
    initialise(second, fmi)
    first.doStep(0.0, 1.0)
    second.doStep(0.0, 1.0)
    second.doStep(1.0, 1.0)
    assert [message.text for message in first_log.messages] == ["first", "u is 0.0"]
    assert [message.text for message in second_log.messages] == ["second", "u is 0.0", "u is 0.0"]
    assert (first_log.warnings, second_log.warnings) == (1, 2)
    first.free()
    second.free()


def test_a_message_under_another_name_goes_to_the_instance_of_its_environment(tmp_path):
    """Tools give the name of the model where the standard wants that of the instance."""
    file = build_fmu(
        tmp_path,
        instantiate_code='snprintf(m->name, sizeof m->name, "the model");',
        step_code='say(m, OK, "step", "u is %.1f", u);',
    )
    with unpacked(file) as place:
        first, first_log = made(place, name="first")
        second, second_log = made(place, name="second")
        initialise(second, "2.0")
        second.doStep(0.0, 1.0)
        assert [message.text for message in second_log.messages] == ["u is 0.0"]
        assert not first_log.messages
        first.free()
        second.free()


def test_a_message_without_the_environment_of_its_instance_is_known_by_the_name(tmp_path):
    file = build_fmu(
        tmp_path,
        instantiate_code="m->environment = NULL;",
        step_code='say(m, OK, "step", "%s steps", m->name);',
    )
    with unpacked(file) as place:
        first, first_log = made(place, name="first")
        second, second_log = made(place, name="second")
        initialise(second, "2.0")
        second.doStep(0.0, 1.0)
        assert [message.text for message in second_log.messages] == ["second steps"]
        assert not first_log.messages
        first.free()
        second.free()


def test_two_instances_never_have_the_same_name(talker):
    first, _ = made(talker)
    second, _ = made(talker)
    assert first.instanceName == "device"
    assert second.instanceName != "device"
    first.free()
    second.free()


def test_a_log_holds_the_last_twenty_messages_and_tells_the_last_three():
    log = MessageLog()
    for number in range(50):
        log.add(3, category=b"logStatusError", text=f"message {number}".encode())
    assert len(log.messages) == 20
    assert log.tail() == (
        "the FMU says: [error] (logStatusError) message 47 | [error] (logStatusError) message 48 | "
        "[error] (logStatusError) message 49"
    )


def test_text_that_is_not_utf_8_is_kept_as_far_as_it_can_be_read():
    log = MessageLog()
    log.add(1, category=None, text=b"temp\xe9rature")
    assert str(log.messages[0]) == "[warning] temp\ufffdrature"


def test_a_status_that_the_standard_does_not_know_is_told_by_its_number():
    assert status_name(17) == "status 17, not of the standard"


def test_a_library_is_loaded_once_and_unloaded_with_its_last_instance(talker):
    first, _ = made(talker)
    second, _ = made(talker)
    assert first.binary is second.binary
    assert first._functions is second._functions
    file = Path(first.binary.path)
    first.free()
    assert is_loaded(file)
    second.free()
    assert not is_loaded(file)


def is_loaded(file: Path) -> bool:
    if sys.platform != "linux":
        pytest.skip("only Linux tells which libraries a process has loaded")
    return str(file) in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_an_instance_may_be_freed_twice(talker):
    first, _ = made(talker)
    first.free()
    first.freeInstance()
    assert first.binary.users == 0


def test_a_missing_function_matters_only_when_it_is_called(tmp_path, fmi):
    missing = "fmi2GetFMUstate" if fmi == "2.0" else "fmi3GetFMUState"
    file = build_fmu(tmp_path, name="part", fmi=fmi, omit=[missing])
    with unpacked(file) as place:
        instance, _ = made(place)
        initialise(instance, fmi)
        instance.doStep(0.0, 1.0)
        with pytest.raises(FmuError, match=f"{missing} is missing"):
            instance.getFMUState()
        instance.free()


def test_an_fmu_that_refuses_to_be_made_says_why_and_leaves_nothing_loaded(tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        name="refuses",
        fmi=fmi,
        instantiate_code='say(m, ERROR, "licence", "no licence for %s", m->name); return ERROR;',
    )
    with unpacked(file) as place:
        with pytest.raises(
            FmuError, match=r"device: the FMU refuses.*\[error\] \(licence\) no licence for device"
        ):
            made(place)
        assert not is_loaded(place.folder)


def test_an_interface_that_is_not_there_is_refused(tmp_path, fmi):
    with (
        unpacked(build_fmu(tmp_path, fmi=fmi)) as place,
        pytest.raises(FmuError, match=r"tiny\.fmu has no model exchange interface"),
    ):
        make_instance(place, name="device", kind="model_exchange", log=MessageLog())


def test_a_file_that_is_no_library_is_refused_and_the_working_directory_stays(tmp_path):
    before = Path.cwd()
    file = tmp_path / "broken.so"
    file.write_bytes(b"\x7fELF this is not a library")
    with pytest.raises(FmuArchiveError, match=r"broken\.so: this machine cannot load the library"):
        open_library(file)
    assert Path.cwd() == before


def test_an_fmu_that_changes_the_working_directory_does_not_change_that_of_the_run(tmp_path, fmi):
    before = Path.cwd()
    file = build_fmu(tmp_path, name="wanders", fmi=fmi, instantiate_code='chdir("/");')
    with unpacked(file) as place:
        instance, _ = made(place)
        assert Path.cwd() == before
        instance.free()


def test_the_working_directory_comes_back_from_a_block_that_fails(tmp_path, monkeypatch):
    def wander() -> None:
        os.chdir("/")
        raise KeyError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyError), kept_directory():
        wander()
    assert Path.cwd() == tmp_path


def test_devices_of_an_fmu_for_one_instance_per_process_have_images_of_their_own(tmp_path, fmi):
    file = build_fmu(
        tmp_path, name="single", fmi=fmi, capabilities={"canBeInstantiatedOnlyOncePerProcess": "true"}
    )
    with unpacked(file) as place:
        instances = [made(folder_of(place, device))[0] for device in range(3)]
        assert len({instance.binary.path for instance in instances}) == 3
        step = f"fmi{fmi[0]}DoStep"
        assert len({instance.address(step) for instance in instances}) == 3
        with pytest.raises(FmuError, match="refuses to be instantiated"):
            made(place)
        for instance in instances:
            instance.free()


def test_an_fmu_for_one_instance_per_process_takes_a_limited_number_of_devices(tmp_path):
    file = build_fmu(tmp_path, capabilities={"canBeInstantiatedOnlyOncePerProcess": "true"})
    with (
        unpacked(file) as place,
        pytest.raises(FmuError, match="32 devices are the most, wanted is device 33"),
    ):
        folder_of(place, MAX_COPIES)
