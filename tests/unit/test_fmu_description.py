"""What is read out of model descriptions: every field, and what is wrong with a description."""

import re
import tempfile
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import third_party_fmus

from models.errors import FmuArchiveError, FmuError
from models.fmu.base import Interface
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info
from models.fmu.reading.platforms import library_file

FMI_2 = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName="Heat pump" guid="{42}" description="Of a house"
  generationTool="Some tool 1.2" variableNamingConvention="structured" numberOfEventIndicators="3">
  <ModelExchange modelIdentifier="pump_me" canGetAndSetFMUstate="true"/>
  <CoSimulation modelIdentifier="pump" canHandleVariableCommunicationStepSize="true"
    canBeInstantiatedOnlyOncePerProcess="true" canGetAndSetFMUstate="true" canSerializeFMUstate="true">
    <SourceFiles><File name="pump.c"/></SourceFiles>
  </CoSimulation>
  <UnitDefinitions>
    <Unit name="kW"><BaseUnit kg="1" m="2" s="-3" factor="1000"/></Unit>
    <Unit name="degC"><BaseUnit K="1" offset="273.15"/></Unit>
    <Unit name="bananas"/>
  </UnitDefinitions>
  <TypeDefinitions>
    <SimpleType name="Power"><Real unit="kW" min="0" max="12.5"/></SimpleType>
    <SimpleType name="Mode"><Enumeration><Item name="off" value="1"/></Enumeration></SimpleType>
  </TypeDefinitions>
  <DefaultExperiment startTime="0" stopTime="3600" tolerance="1e-5" stepSize="60"/>
  <ModelVariables>
    <ScalarVariable name="T_amb" valueReference="1" causality="input" description="Air">
      <Real unit="degC" start="7"/></ScalarVariable>
    <ScalarVariable name="p" valueReference="2" causality="output"><Real declaredType="Power" max="9"/></ScalarVariable>
    <ScalarVariable name="on" valueReference="3" causality="parameter" variability="tunable">
      <Boolean start="true"/></ScalarVariable>
    <ScalarVariable name="x" valueReference="4" initial="exact"><Real start="1"/></ScalarVariable>
    <ScalarVariable name="der(x)" valueReference="5"><Real derivative="4"/></ScalarVariable>
  </ModelVariables>
  <ModelStructure>
    <Outputs><Unknown index="2"/></Outputs>
    <Derivatives><Unknown index="5"/></Derivatives>
    <InitialUnknowns><Unknown index="2"/><Unknown index="5"/></InitialUnknowns>
  </ModelStructure>
</fmiModelDescription>
"""

FMI_3 = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="3.0" modelName="Fleet" instantiationToken="token">
  <CoSimulation modelIdentifier="fleet" hasEventMode="true" mightReturnEarlyFromDoStep="true"
    fixedInternalStepSize="10" canGetAndSetFMUState="true" needsExecutionTool="true"/>
  <TypeDefinitions><Float64Type name="Power" unit="kW" min="-5"/></TypeDefinitions>
  <ModelVariables>
    <Float64 name="time" valueReference="0" causality="independent" variability="continuous"/>
    <UInt64 name="n" valueReference="1" causality="structuralParameter" variability="fixed" start="4"/>
    <Float64 name="p" valueReference="2" causality="output" declaredType="Power">
      <Dimension valueReference="1"/><Dimension start="3"/><Alias name="power"/></Float64>
    <String name="label" valueReference="3" causality="parameter" variability="fixed"><Start value="a b"/></String>
  </ModelVariables>
  <ModelStructure><Output valueReference="2"/><InitialUnknown valueReference="2"/></ModelStructure>
</fmiModelDescription>
"""


def fmu(folder: Path, xml: str | bytes, *files: str) -> Path:
    file = folder / "pump.fmu"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("modelDescription.xml", xml)
        for name in files:
            archive.writestr(name, b"")
    return file


def test_an_fmi_2_description_is_read_in_full(tmp_path):
    file = fmu(tmp_path, FMI_2, "binaries/linux64/pump.so", "binaries/win64/pump.dll", "sources/pump.c")
    info = read_info(file)
    assert info.file == file
    assert info.sha256 == sha256(file.read_bytes()).hexdigest()
    assert (info.fmi_version, info.model_name, info.token) == ("2.0", "Heat pump", "{42}")
    assert (info.text, info.generation_tool) == ("Of a house", "Some tool 1.2")
    assert (info.co_simulation, info.model_exchange) == ("pump", "pump_me")
    assert info.platforms == ("linux64", "win64")
    assert info.has_sources
    assert info.once_per_process
    assert not info.needs_execution_tool
    assert info.can_save_state
    assert info.can_serialise_state
    assert info.can_handle_variable_step
    assert not info.has_event_mode
    assert not info.may_return_early
    assert info.fixed_step_s is None
    assert (info.default_stop_s, info.default_step_s, info.default_tolerance) == (3600.0, 60.0, 1e-5)
    assert (info.n_states, info.n_event_indicators) == (1, 3)
    assert info.problems == ()


def test_fmi_2_variables_have_type_unit_bounds_and_start_of_their_own_or_of_their_type(tmp_path):
    info = read_info(fmu(tmp_path, FMI_2))
    air, power, on, x, _ = info.variables
    assert (air.name, air.value_reference, air.type, air.causality) == ("T_amb", 1, "Real", "input")
    assert (air.variability, air.initial, air.unit, air.start) == ("continuous", "exact", "degC", "7")
    assert (air.low, air.high, air.shape, air.text) == (None, None, (), "Air")
    assert (power.unit, power.low, power.high) == ("kW", 0.0, 9.0)
    assert (on.type, on.variability, on.start, on.is_float, on.is_number) == (
        "Boolean",
        "tunable",
        "true",
        False,
        True,
    )
    assert (x.causality, x.initial) == ("local", "exact")
    assert info.variable("der(x)") is info.variables[4]
    assert info.variable("absent") is None


def test_unit_definitions_are_exponents_factor_and_offset_and_names_alone_are_left_out(tmp_path):
    assert read_info(fmu(tmp_path, FMI_2)).unit_factors == {
        "kW": ((1, 2, -3, 0, 0, 0, 0, 0), 1000.0, 0.0),
        "degC": ((0, 0, 0, 0, 1, 0, 0, 0), 1.0, 273.15),
    }


def test_capabilities_are_those_of_the_interface_that_is_asked_for(tmp_path):
    file = fmu(tmp_path, FMI_2)
    assert read_info(file, interface=Interface.CO_SIMULATION) == read_info(file)
    exchange = read_info(file, interface=Interface.MODEL_EXCHANGE)
    assert exchange.can_save_state
    assert not exchange.can_serialise_state
    assert exchange.once_per_process, "once in either interface is once for the process"


def test_an_interface_that_is_not_there_is_told(tmp_path):
    with pytest.raises(
        FmuError, match=r"pump\.fmu: has the interfaces Co-Simulation, wanted is model exchange"
    ):
        read_info(fmu(tmp_path, FMI_3), interface=Interface.MODEL_EXCHANGE)
    scheduled = FMI_3.replace("CoSimulation", "ScheduledExecution")
    with pytest.raises(
        FmuError, match="has the interfaces Scheduled Execution, wanted is Co-Simulation or Model Exch"
    ):
        read_info(fmu(tmp_path, scheduled))


def test_an_fmi_3_description_has_dimensions_aliases_and_its_capabilities(tmp_path):
    info = read_info(fmu(tmp_path, FMI_3, "sources/fleet.c"))
    assert (info.fmi_version, info.token, info.co_simulation) == ("3.0", "token", "fleet")
    assert (info.has_event_mode, info.may_return_early, info.fixed_step_s) == (True, True, 10.0)
    assert (info.can_save_state, info.can_serialise_state, info.needs_execution_tool) == (True, False, True)
    assert not info.has_sources, "sources without a build description cannot be built"
    power, alias, label = (info.variable(name) for name in ("p", "power", "label"))
    assert power is not None
    assert (power.shape, power.unit, power.low, power.high) == (("n", 3), "kW", -5.0, None)
    assert alias == replace(power, name="power")
    assert label is not None
    assert (label.start, label.is_number) == ("a b", False)


def test_sources_with_a_build_description_can_be_built(tmp_path):
    assert read_info(fmu(tmp_path, FMI_3, "sources/fleet.c", "sources/buildDescription.xml")).has_sources


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('name="der(x)"', 'name="der x"'), '"der x" is no name of the naming convention "structured"'),
        (
            ('<Unknown index="2"/><Unknown index="5"/>', '<Unknown index="5"/>'),
            "ModelStructure/InitialUnknowns does not contain the expected set",
        ),
        (('unit="degC" start="7"', 'unit="degC"'), 'Variable "T_amb" .* has no start value'),
        (('max="12.5"', 'max="a lot"'), "max of p is no number: 'a lot'|a lot.*is not a valid value"),
        (('unit="degC"', 'unit="degF"'), 'The unit "degF" of variable "T_amb"'),
        (('guid="{42}"', ""), "guid.*required but missing"),
    ],
)
def test_static_problems_are_collected_and_lock_nothing_out(tmp_path, change, problem):
    text = FMI_2.replace(*change).replace(' max="9"', "")
    assert text != FMI_2
    info = read_info(fmu(tmp_path, text))
    assert info.co_simulation == "pump"
    assert len([found for found in info.problems if re.search(problem, found)]) >= 1


def test_problems_beside_the_schema_are_found_too(tmp_path):
    info = read_info(
        fmu(tmp_path, FMI_2.replace('guid="{42}"', "").replace('unit="degC" start="7"', 'unit="degF"'))
    )
    assert any("guid" in problem for problem in info.problems)
    assert any("T_amb" in problem and "no start value" in problem for problem in info.problems)


def test_a_long_list_of_problems_is_cut(tmp_path):
    many = "".join(
        f'<ScalarVariable name="a b{k}" valueReference="{k + 10}"><Real/></ScalarVariable>' for k in range(80)
    )
    info = read_info(fmu(tmp_path, FMI_2.replace("</ModelVariables>", f"{many}</ModelVariables>")))
    assert len(info.problems) == 51
    assert info.problems[-1] == "and 30 more"


def test_fmi_1_says_what_to_export(tmp_path):
    with pytest.raises(
        FmuError, match=r"pump\.fmu: is an FMU of FMI 1\.0; 2\.0 and 3\.0 can be used: export it"
    ):
        read_info(fmu(tmp_path, FMI_2.replace('fmiVersion="2.0"', 'fmiVersion="1.0"')))


@pytest.mark.parametrize(
    ("xml", "what"),
    [
        (FMI_2[:400], "no well-formed XML"),
        ("", "no well-formed XML"),
        (b"\xff\xfe\x00", "no well-formed XML"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "no well-formed XML"),
        ("<html/>", "no model description of the FMI standard"),
        ("<fmiModelDescription/>", "no model description of the FMI standard"),
        (FMI_2.replace('valueReference="1"', ""), "cannot be understood"),
        (FMI_2.replace('declaredType="Power"', 'declaredType="Force"'), "Force.*passes `fmpy validate`"),
    ],
)
def test_a_description_that_cannot_be_read_is_an_archive_error(tmp_path, xml, what):
    with pytest.raises(FmuArchiveError, match=rf"pump\.fmu: modelDescription.xml.*{what}"):
        read_info(fmu(tmp_path, xml))


@pytest.mark.parametrize("reference", [-1, 2**32, 2**40])
@pytest.mark.parametrize("xml", [FMI_2, FMI_3], ids=["2.0", "3.0"])
def test_a_value_reference_that_no_call_takes_is_an_archive_error(tmp_path, xml, reference):
    changed = xml.replace('valueReference="3"', f'valueReference="{reference}"')
    with pytest.raises(
        FmuArchiveError,
        match=rf"pump\.fmu: variable (on|label) has the value reference {reference}, it must be",
    ):
        read_info(fmu(tmp_path, changed))


def test_the_largest_value_reference_is_read(tmp_path):
    info = read_info(fmu(tmp_path, FMI_2.replace('valueReference="3"', f'valueReference="{2**32 - 1}"')))
    assert info.variable("on").value_reference == 2**32 - 1


@pytest.mark.parametrize("side", [-3, 2**40])
def test_a_dimension_that_no_array_has_is_an_archive_error(tmp_path, side):
    with pytest.raises(FmuArchiveError, match=rf"variable p has a dimension of {side}"):
        read_info(fmu(tmp_path, FMI_3.replace('<Dimension start="3"/>', f'<Dimension start="{side}"/>')))


@pytest.mark.parametrize("step", ["0", "-1", "INF"])
def test_a_step_size_that_no_step_has_is_told_and_not_taken(tmp_path, step):
    info = read_info(
        fmu(tmp_path, FMI_3.replace('fixedInternalStepSize="10"', f'fixedInternalStepSize="{step}"'))
    )
    assert info.fixed_step_s is None
    assert any("fixedInternalStepSize must be above 0 s" in problem for problem in info.problems)
    info = read_info(fmu(tmp_path, FMI_2.replace('stepSize="60"', f'stepSize="{step}"')))
    assert info.default_step_s is None


def test_a_bound_that_is_not_a_number_is_told_and_not_taken(tmp_path):
    info = read_info(fmu(tmp_path, FMI_2.replace('max="9"', 'max="NaN"')))
    assert info.variable("p").high is None
    assert any("max of p is no number" in problem for problem in info.problems)


ENTITIES = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10 if k else "x" * 10}">' for k in range(10))


@pytest.mark.parametrize(
    "doctype",
    [
        f"<!DOCTYPE fmiModelDescription [{ENTITIES}]>",
        '<!DOCTYPE fmiModelDescription [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE fmiModelDescription SYSTEM "https://example.org/any.dtd">',
    ],
    ids=["grows", "reads a file", "reads the network"],
)
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
def test_a_description_that_defines_entities_is_refused(tmp_path, doctype, encoding):
    text = FMI_2.replace("UTF-8", encoding).replace("?>", f"?>{doctype}", 1).replace("Of a house", "&e9;")
    with pytest.raises(FmuArchiveError, match="has a DOCTYPE"):
        read_info(fmu(tmp_path, text.encode(encoding)))


def test_a_description_of_more_than_100_mb_is_refused(tmp_path):
    with pytest.raises(FmuArchiveError, match=r"modelDescription\.xml has 101 MB, 100 MB are the most"):
        read_info(fmu(tmp_path, FMI_2 + " " * 101 * 10**6))


def test_reading_leaves_no_files_behind(tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    read_info(fmu(tmp_path, FMI_2))
    with pytest.raises(FmuArchiveError):
        read_info(fmu(tmp_path, FMI_2.replace('valueReference="1"', "")))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", third_party_fmus.NAMES)
def test_an_fmu_of_another_tool_is_read_and_unpacked(name):
    file = third_party_fmus.fmu(name)
    info = read_info(file)
    assert info.co_simulation is not None
    with unpacked(file, info) as found:
        assert library_file(found, info.co_simulation).is_file()


def test_an_openmodelica_fmu_has_the_interfaces_states_and_units_of_its_description():
    info = read_info(third_party_fmus.fmu("Mass_Damper.fmu"))
    assert info.generation_tool == "OpenModelica Compiler OpenModelica 1.19.3"
    assert (info.co_simulation, info.model_exchange, info.n_states) == ("Mass_Damper", "Mass_Damper", 2)
    damping = info.variable("damper.d")
    assert damping is not None
    assert (damping.unit, damping.start, damping.low) == ("N.s/m", "10.0", 0.0)
    assert info.unit_factors["N.s/m"] == ((1, 0, -1, 0, 0, 0, 0, 0), 1.0, 0.0)
