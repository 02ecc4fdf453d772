"""Energy communities: configurations and who belongs to them."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from twin.clock import utc_s
from twin.scenario.base import Name, Spec, Switch, wrong
from twin.scenario.marks import got
from twin.scenario.quantities import Quantity

__all__ = ["NO_ROW_FIELDS", "CommunitySpec", "MemberKind", "MemberSpec", "SilentSpan"]

MemberKind = Literal[
    "household",
    "municipality",
    "sme",
    "farm",
    "public_body",
    "cooperative",
    "school",
    "religious_body",
    "third_sector",
    "research",
    "company",
    "retailer",
]
_NOT_ELIGIBLE = {
    "retailer": "a company whose main business is to sell or exchange electricity cannot be a member of a community"
}
"""Kinds that take no part, and why (K: not verified in the text of the decree)."""
NO_ROW_FIELDS = frozenset(
    ("csv", "match", "share", "count", "among", "within", "silent", "opted_out_share", "silent_share")
)
"""Fields of a member entry that are no columns of its CSV file: they hold for all rows together."""

_Share = Annotated[float, Quantity("1", ge=0, le=1)]
_DrawnShare = Annotated[float, Quantity("1", gt=0, le=1)]


def _read_date(value: object) -> dt.date:
    text = value.isoformat() if isinstance(value, dt.date) else value
    if isinstance(text, str):
        try:
            return dt.date.fromisoformat(text.strip())
        except ValueError:
            pass
    raise wrong(f"must be a date such as 2016-07-04 (got {got(value)})")


def _read_moment(value: object) -> dt.datetime:
    text = value.isoformat() if isinstance(value, dt.date) else value
    if isinstance(text, str):
        try:
            moment = dt.datetime.fromisoformat(text.strip())
        except ValueError:
            pass
        else:
            try:
                utc_s(moment)
            except ValueError as error:
                raise wrong(str(error)) from error
            return moment
    raise wrong(f"must be a time such as 2016-07-04T18:00 (got {got(value)})")


def _schema_of(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


_Date = Annotated[dt.date, BeforeValidator(_read_date), _schema_of("2016-07-04")]
_Moment = Annotated[dt.datetime, BeforeValidator(_read_moment), _schema_of("2016-07-04T18:00")]


class SilentSpan(Spec):
    """A span in which nothing is heard from members and nothing reaches them."""

    from_: _Moment = Field(alias="from", description="First instant; local time unless it has an offset.")
    to: _Moment = Field(description="First instant after the span.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the order of the two times."""
        if utc_s(self.from_) >= utc_s(self.to):
            yield "to", f"{self.to.isoformat()} must be after from {self.from_.isoformat()}"


class MemberSpec(Spec):
    """Members: exactly one of home, match, share, count and csv says which homes; match may bound share and count."""

    home: Name | None = Field(default=None, description="Name of the home (POD).")
    match: Name | None = Field(
        default=None,
        description="All homes whose name fits this pattern (glob); with share or count, those to draw from.",
    )
    share: _DrawnShare | None = Field(
        default=None,
        description="Share of the eligible homes of the area that nobody named, drawn with the scenario seed; a smaller "
        "share lies in a larger [1].",
    )
    count: Annotated[int, Quantity("", ge=1)] | None = Field(
        default=None, description="As share, but a number of homes."
    )
    csv: Name | None = Field(
        default=None, description="CSV file with one member a row; columns are field names."
    )
    among: Literal["all", "pv", "no_pv"] = Field(
        default="all", description="share, count: draw from all homes, those with PV, or those without."
    )
    within: Name | None = Field(
        default=None,
        description="share, count: draw below this MV/LV transformer or at this bus only.",
    )
    kind: MemberKind = Field(default="household", description="Kind of member.")
    role: Literal["consumer", "producer", "prosumer"] | None = Field(
        default=None, description="Default: by the devices. A draw takes homes of this role only."
    )
    contract_kw: Annotated[float, Quantity("kW", gt=0)] | None = Field(
        default=None,
        description="Available power [kW]; default the smallest of 3.3, 4.95, 6.6, 11 ... that carries the load's peak.",
    )
    invest_eur: Annotated[float, Quantity("EUR", ge=0)] = Field(
        default=0.0, description="Paid towards the plants [EUR]; counts where revenue is split by investment."
    )
    plants_since: _Date | None = Field(
        default=None, description="Day its plants entered into service; default that of the community."
    )
    joined: _Date | None = Field(
        default=None, description="First local day as a member; default before the run."
    )
    left: _Date | None = Field(
        default=None, description="First local day no longer a member; default after the run."
    )
    opted_out: Switch = Field(
        default=False, description="Takes no guidance from community or aggregator; its energy still counts."
    )
    opted_out_share: _Share | None = Field(
        default=None,
        description="As opted_out for this share of the entry's members, drawn with the seed [1].",
    )
    reserve_share: _Share = Field(
        default=0.0, description="Share of the battery window kept for the home's own use [1]."
    )
    delay_s: Annotated[int, Quantity("s", ge=0)] = Field(
        default=0, description="Delay of readings and guidance [s]; whole steps."
    )
    silent: tuple[SilentSpan, ...] = Field(default=(), description="Spans without any communication.")
    silent_share: _Share | None = Field(
        default=None,
        description="Share of the entry's members that silent holds for, drawn with the seed; default all [1].",
    )

    @classmethod
    def parts(cls) -> dict[str, type[Spec]]:
        """Return the fields that are mappings of their own: none."""
        return {}

    @property
    def is_drawn(self) -> bool:
        """Whether the homes are drawn at random."""
        return self.share is not None or self.count is not None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the ways to say which homes, the dates, what is said twice."""
        if self.kind in _NOT_ELIGIBLE:
            yield "kind", f"{_NOT_ELIGIBLE[self.kind]}; leave it out, or correct its kind"
        ways = [way for way in ("home", "share", "count", "csv") if getattr(self, way) is not None]
        if self.match is not None and ways not in (["share"], ["count"]):
            ways.append("match")
        if not ways:
            yield "", "says not which homes; add one of home, match, share, count, csv"
            return
        if len(ways) > 1:
            yield ways[1], f"chosen twice, by {' and '.join(ways)}; keep one"
            return
        yield from self._problems_of_choice(ways[0])
        if self.joined is not None and self.left is not None and self.joined >= self.left:
            yield "left", f"{self.left} must be after joined {self.joined}"
        if self.silent_share is not None and not self.silent:
            yield "silent_share", "has no effect without silent; add spans to it, or remove this"
        if self.opted_out and self.opted_out_share is not None:
            yield "opted_out_share", "opted_out and opted_out_share say the same twice; keep one"

    def _problems_of_choice(self, way: str) -> Iterator[tuple[str, str]]:
        if not self.is_drawn:
            if self.among != "all":
                yield "among", f"among goes with share or count, not with {way}; remove it"
            if self.within is not None:
                yield "within", f"within goes with share or count, not with {way}; remove it"
        if way == "home":
            for field in ("opted_out_share", "silent_share"):
                if getattr(self, field) is not None:
                    yield field, f"{field} draws among several members, home names one; remove it"


_LARGEST_KW = 1000.0
"""Largest plant in a configuration, decree of 7 December 2023, n. 414 (CACER; K: not verified in its text)."""
_LARGEST_2020_KW = 200.0
"""Largest plant under the transitional rules, decree-law 162/2019, article 42-bis (K: not verified)."""
_PERIMETER_WORDS = {"cp": "primary substation", "substation": "MV/LV substation", "building": "bus"}


class CommunitySpec(Spec):
    """One configuration: an energy community (CER) or a group in one building (GACC)."""

    name: Name = Field(description="Unique name.")
    kind: Literal["CER", "GACC"] = Field(description="CER, or GACC for the homes of one building.")
    perimeter: Literal["cp", "substation", "building"] = Field(
        default="cp",
        description="Where members may be: under one primary substation (cp), one MV/LV substation (rules of 2020), or at "
        "one bus (building; always so for a GACC).",
    )
    area: Name | None = Field(
        default=None,
        description="A primary substation, transformer or bus in the area; default where the first named member is.",
    )
    max_plant_kw: Annotated[float, Quantity("kW", gt=0)] = Field(
        default=_LARGEST_KW, description="Largest plant [kW]; with perimeter: substation 200 by default."
    )
    grant_share: _Share = Field(
        default=0.0, description="Share of the plants' cost paid by a capital grant [1]."
    )
    plants_since: _Date | None = Field(
        default=None, description="Day the plants entered into service; default the first day of the run."
    )
    members: tuple[MemberSpec, ...] = Field(
        description="Who belongs to it.", json_schema_extra={"minItems": 1}
    )

    @property
    def perimeter_word(self) -> str:
        """The perimeter in words, for messages."""
        return _PERIMETER_WORDS[self.perimeter]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: no members, a GACC beyond a building."""
        if not self.members:
            yield "members", "must not be empty; write at least one entry"
        if self.kind == "GACC" and self.perimeter != "building":
            yield "perimeter", f"a GACC is one building; remove perimeter: {self.perimeter}, or use kind: CER"

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled: dict[Any, Any] = dict(data)
        if filled.get("kind") == "GACC":
            filled.setdefault("perimeter", "building")
        if filled.get("perimeter") == "substation":
            filled.setdefault("max_plant_kw", _LARGEST_2020_KW)
        return filled
