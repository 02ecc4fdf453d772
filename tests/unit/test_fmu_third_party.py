"""FMUs of other tools: a test that needs one is skipped without it, but not on CI."""

import importlib.util

import pytest
from third_party_fmus import NAMES, fmu


def without_the_package(monkeypatch, ci):
    monkeypatch.setattr("third_party_fmus.this_machine", lambda: "x86_64-linux")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("CI", ci)


def test_a_missing_package_fails_the_test_on_ci(monkeypatch):
    without_the_package(monkeypatch, "true")
    with pytest.raises(pytest.fail.Exception, match="pip install --no-deps gemseo-fmu"):
        fmu(NAMES[0])


def test_a_missing_package_skips_the_test_elsewhere(monkeypatch):
    without_the_package(monkeypatch, "")
    with pytest.raises(pytest.skip.Exception, match="pip install --no-deps gemseo-fmu"):
        fmu(NAMES[0])


def test_a_file_that_the_package_lacks_fails_the_test_on_ci(monkeypatch):
    monkeypatch.setattr("third_party_fmus.this_machine", lambda: "x86_64-linux")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"gemseo-fmu"):
        fmu("none.fmu")
