"""A run that can be killed: ``python guard_feeder.py CONFIG`` starts a guardian and finishes a step every 50 ms.

Prints a line of JSON once the device holds a limit of 2 kW. A line on standard input makes it stop finishing steps while its
connection stays, as a run that hangs.
"""

import json
import select
import sys
import time
from pathlib import Path

from hil_adapters.guard.encoding import config_from_json
from hil_adapters.guard.link import GuardianLink, started_guardian
from hil_adapters.guard.messages import SetPoints

__all__ = ["run"]


def run(link: GuardianLink) -> None:
    """Feed until killed, or until standard input ends."""
    step, told, feeding = 0, False, True
    while True:
        if feeding:
            step += 1
            asked = SetPoints(step=step, expires_s=5.0, values={"roof": {"p_limit_kw": 2.0}})
            image = link.exchange(asked)
            if not told and image.devices["roof"].commanded.get("p_limit_kw") == 2.0:
                told = True
                print(json.dumps({"guardian": link.pid}), flush=True)  # noqa: T201 - its parent waits for it
        if select.select([sys.stdin], [], [], 0.05)[0]:
            if not sys.stdin.readline():
                return
            feeding = False
            print(json.dumps({"hangs_s": time.monotonic()}), flush=True)  # noqa: T201 - same


if __name__ == "__main__":
    with started_guardian(
        config_from_json(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    ) as guardian:
        run(guardian)
