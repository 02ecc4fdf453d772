"""Does a strategy keep to the contract of :mod:`twin.control`? Checks that a developer runs on a class of their own.

report = check_controller(Subject(name="mine", factory=Mine, params={}))
assert report.passed, report.to_dict()
"""

from twin.conformance.plants import Case, synthetic_case
from twin.conformance.results import CheckResult, Outcome, Report
from twin.conformance.subject import Subject, read_params
from twin.conformance.suite import Limits, check_controller

__all__ = [
    "Case",
    "CheckResult",
    "Limits",
    "Outcome",
    "Report",
    "Subject",
    "check_controller",
    "read_params",
    "synthetic_case",
]
