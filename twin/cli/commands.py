"""The command line put together."""

import typer

from twin.cli import checks, live, runs
from twin.cli.device import device_app
from twin.cli.fmu import fmu_app

__all__ = ["app", "main"]

app = typer.Typer(
    name="twin",
    help="gemello: a digital twin of a distribution feeder with its energy communities.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.command("run")(runs.run_command)
app.command()(live.live)
app.command()(live.replay)
app.command("estop")(live.estop_command)
app.command()(checks.check)
app.command("check-controller")(checks.check_controller_command)
app.command()(checks.schema)
app.command()(runs.report)
app.command()(runs.compare)
app.command()(runs.export)
app.command()(checks.feeder)
app.add_typer(fmu_app)
app.add_typer(device_app)


def main() -> None:
    """Run the command line."""
    app()
