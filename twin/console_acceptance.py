"""What ``twin device check`` shows while it tests a device, and at the end."""

from rich.console import Console
from rich.text import Text

from hil_adapters.acceptance.results import AcceptanceResult, CheckResult, Outcome

__all__ = ["check_line", "verdict"]

_STDERR = Console(stderr=True)
_MARKS = {
    Outcome.PASSED: ("\N{CHECK MARK} passed", "green"),
    Outcome.FAILED: ("\N{BALLOT X} failed", "bold red"),
    Outcome.NOT_APPLICABLE: ("\N{EN DASH} not applicable", "dim"),
}


def check_line(result: CheckResult) -> None:
    """Print one check as soon as it is made."""
    mark, style = _MARKS[result.outcome]
    info = "" if result.needed else " (for information)"
    _STDERR.print(Text.assemble((mark, style), f"  {result.name}{info}: {result.text}"), soft_wrap=True)


def verdict(result: AcceptanceResult) -> None:
    """Print whether the device may be armed, and with which commands."""
    failures = [check.name for check in result.results if check.outcome is Outcome.FAILED and check.needed]
    if failures:
        _STDERR.print(Text(f"failed: {', '.join(failures)}", style="bold red"), soft_wrap=True)
        return
    proven = [
        command for command, proof in result.report.watchdog.items() if proof.released_after_s is not None
    ]
    commands = (
        f"it may be armed with {', '.join(proven)} for {result.report.valid_days:g} days"
        if proven
        else "it may be read; no command was tried, so none may be written"
    )
    _STDERR.print(Text(f"passed: {commands}", style="bold green"), soft_wrap=True)
