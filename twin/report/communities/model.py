"""What the report shows on communities, ready for the page."""

from dataclasses import dataclass

from twin.report.model import Table
from twin.report.panels import Panel

__all__ = ["CommunityPart", "CommunitySection", "GroupedTable", "StrategyTables", "TableGroup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableGroup:
    """Rows of a table under a title of their own."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedTable:
    """A data table in groups; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    groups: tuple[TableGroup, ...]
    numeric: tuple[int, ...] = ()
    """Columns set flush right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTables:
    """Tables of one strategy, shown and hidden with it."""

    key: str
    label: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class CommunityPart:
    """One configuration in detail."""

    id: str
    """Anchor in the page."""
    name: str
    words: tuple[str, ...]
    mean_day: tuple[Panel, ...]
    week: tuple[Panel, ...]
    week_words: str
    split: Panel | None
    tables: tuple[Table, ...]
    members: tuple[StrategyTables, ...]
    cut_words: str
    """Which members the tables leave out; empty if none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CommunitySection:
    """Everything on communities."""

    words: tuple[str, ...]
    """The answer in plain sentences."""
    left_out: tuple[str, ...]
    """Sentences on strategies without a settlement."""
    rules_words: str
    overview: Table
    energy_money: GroupedTable
    source_words: tuple[str, ...]
    """Where the value of each strategy over the one below comes from."""
    value_figures: tuple[Panel, ...]
    step_words: str
    step_tables: tuple[Table, ...]
    gain_table: Table | None
    gain_figures: tuple[Panel, ...]
    gain_tables: tuple[StrategyTables, ...]
    plant_words: str
    plant_table: Table | None
    sharing_words: tuple[str, ...]
    sharing_figures: tuple[Panel, ...]
    sharing_table: Table | None
    deferral_words: tuple[str, ...]
    deferral_tables: tuple[Table, ...]
    area_words: tuple[str, ...]
    area_table: Table
    definitions: Table
    marks: tuple[str, ...]
    """Parameters that are not verified, and assumptions."""
    parts: tuple[CommunityPart, ...]
