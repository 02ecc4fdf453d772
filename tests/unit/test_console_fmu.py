"""What ``twin fmu`` prints in a terminal of a given width."""

import io

import pytest
import yaml
from rich.console import Console
from tiny_fmus import Var, build_fmu

from models.fmu.checking.report import CheckResult, Finding, FmuReport
from models.fmu.ours.catalogue import SHIPPED, device_kind, shipped_fmu
from models.fmu.reading.description import read_info
from models.fmu.reading.proposal import propose
from twin import console_fmu, console_fmu_kinds
from twin.console_fmu_mapping import mapping_text

WIDTHS = (80, 120)


def shown(show, width):
    out = io.StringIO()
    show(Console(width=width, file=out))
    return out.getvalue()


def lines_before_the_mapping(text):
    return text.partition("Mapping to start from")[0].splitlines()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", SHIPPED)
def test_an_inspection_fits_the_terminal_and_keeps_names_whole(width, kind):
    info = read_info(shipped_fmu(kind, "3.0"))
    text = shown(lambda out: console_fmu.inspection(info, propose(info), console=out), width)
    assert max(map(len, lines_before_the_mapping(text))) <= width
    for entry in info.variables:
        assert (f"\n{entry.name} " in text) == (entry.causality not in {"local", "calculatedParameter"})


def test_local_variables_are_counted_or_listed(tmp_path):
    info = read_info(build_fmu(tmp_path, variables=(Var("inner", "local", start=1.0, initial="exact"),)))
    some = shown(lambda out: console_fmu.inspection(info, (), console=out), 100)
    every = shown(lambda out: console_fmu.inspection(info, (), with_locals=True, console=out), 100)
    assert "and 1 local and calculated variables" in some
    assert "\ninner " not in some
    assert "\ninner " in every


@pytest.mark.parametrize("width", WIDTHS)
def test_the_checks_fit_the_terminal_with_the_verdict_last(width):
    checks = (
        CheckResult.of("loads", "Loads", Finding.passed("in 3 ms " * 20)),
        CheckResult.of("steps", "Runs", Finding.failed("y = nan", "a smaller step")),
        CheckResult.of("state", "State", Finding.skipped("not tried, as 'steps' failed")),
        CheckResult.of("reset", "Reset", Finding.skipped("not tried, as 'steps' failed")),
        CheckResult.of("units", "Units", Finding.warning("odd", "write `unit:`")),
    )
    report = FmuReport(file="a.fmu", sha256="", model="a", fmi_version="2.0", how="CS", checks=checks)
    text = shown(lambda out: console_fmu.check_table(report, console=out), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[-1] == "does not work (1 pass, 1 fail, 1 warning, 2 skip)"
    assert lines[-3:-1] == ["steps: a smaller step", "units: write `unit:`"]
    assert next(line for line in lines if line.startswith("- skip")).split()[2:4] == ["2", "checks"]
    assert "State, Reset: not tried" in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", SHIPPED)
def test_the_variables_of_our_kinds_fit_the_terminal(width, kind):
    table = device_kind(kind)
    text = shown(lambda out: console_fmu_kinds.kinds([table], with_variables=True, console=out), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(f"\n{entry.name} " in text for entry in table.variables)


def test_names_that_yaml_would_misread_are_quoted_in_the_mapping(tmp_path):
    names = ("a: b", "on", "P[1]", "x#y", "true", "der(h)")
    file = build_fmu(
        tmp_path,
        inputs=tuple(Var(name, "input", start=0.0) for name in names[:1]),
        outputs=(Var("P #1", "output", unit="W"),),
        step_code="P__1 = a__b;",
    )
    info = read_info(file)
    (entry,) = yaml.safe_load(mapping_text(info, propose(info)))
    assert entry["fmu"]["outputs"]["p_kw"]["variable"] == "P #1"


def test_a_mapping_without_a_power_names_the_outputs_to_choose_from(tmp_path):
    info = read_info(build_fmu(tmp_path, outputs=("alpha", "beta"), step_code="alpha = beta = u;"))
    text = mapping_text(info, propose(info))
    assert "which is the power? alpha, beta" in text
    (entry,) = yaml.safe_load(text)
    assert "outputs" not in entry["fmu"]
