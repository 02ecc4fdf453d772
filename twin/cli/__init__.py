"""The commands. They parse, call and translate errors into exit codes; nothing is computed here.

Exit codes: 0 done, 1 a run failed or does not count, 2 bad input, 3 finished but limits violated (only with
``--fail-on-violation``), 130 interrupted. ``twin fmu check``: 0 works, 1 works with warnings, 2 does not work.
"""

from twin.cli.commands import app, main

__all__ = ["app", "main"]
