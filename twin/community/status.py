"""What a reader must know of each membership, in words."""

from twin.clock import clock_text, step_text, step_time, whole_seconds
from twin.members import Communities
from twin.units import SECONDS_PER_MINUTE

__all__ = ["member_status"]


def member_status(
    communities: Communities, *, start_utc_s: int, dt_s: float, n_steps: int
) -> tuple[str, ...]:
    """Return for each member what is not as usual, shape (M,); empty for one that is there and heard all the time.

    Args:
        communities: the members.
        start_utc_s: start of the run, seconds since 1970-01-01 UTC.
        dt_s: length of a step [s].
        n_steps: steps of the run.
    """

    def at(step: int) -> str:
        moment = step_time(start_utc_s, step, dt_s)
        return f"{moment:%-d %b %Y}, {clock_text(moment, dt_s if dt_s < 1 else SECONDS_PER_MINUTE)}"

    found: list[list[str]] = [[] for _ in range(communities.n_members)]
    for member, said in enumerate(found):
        first, end = int(communities.member_first_step[member]), int(communities.member_end_step[member])
        delay_s = whole_seconds(int(communities.member_delay_steps[member]), dt_s)
        if first > 0:
            said.append(f"joined on {at(first)}")
        if end < n_steps:
            said.append(f"left on {at(end)}")
        if communities.member_opted_out[member]:
            said.append("has opted out of guidance")
        if delay_s > 0:
            said.append(f"messages arrive {step_text(delay_s)} late")
    for member, first, end in communities.silent.tolist():
        found[member].append(f"silent from {at(first)} to {at(end)}")
    return tuple("; ".join(said) for said in found)
