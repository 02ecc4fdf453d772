"""What energy costs and emits, and what a reinforcement of the network costs."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from twin.scenario.base import Spec
from twin.scenario.columns import number_or, number_or_schema
from twin.scenario.marks import got
from twin.scenario.quantities import Quantity

__all__ = [
    "CO2_UNITS",
    "DEFAULT_CO2_KG_KWH",
    "DEFAULT_EXCISE_EUR_KWH",
    "DEFAULT_VAT_PERCENT",
    "PRICE_UNITS",
    "PRICE_YEARS",
    "ZONE",
    "BandPrices",
    "Bill",
    "Emissions",
    "Prices",
    "Reinforcement",
]

PRICE_UNITS = frozenset(("EUR/kWh", "EUR/MWh"))
"""Units of a source that prices may refer to."""
CO2_UNITS = frozenset(("kg/kWh", "g/kWh"))
"""Units of a source that emissions may refer to."""
PRICE_YEARS = ("north_italy_2018",)
"""Price years that come with the program (``models.market``, which needs numpy, has them)."""
ZONE = "zone"
"""Export price that means the hourly zonal price."""
DEFAULT_EXCISE_EUR_KWH = 0.0227
"""Excise on household energy. K: not verified; the exemption of the first 150 kWh a month is not modelled."""
DEFAULT_VAT_PERCENT = 10.0
"""VAT of a household. K: not verified."""
DEFAULT_CO2_KG_KWH = 0.26
"""Emissions of Italian generation per kWh consumed. K: not verified."""


_ImportPrice = Annotated[float | str, BeforeValidator(number_or("EUR/kWh")), number_or_schema("EUR/kWh")]
_ExportPrice = Annotated[
    float | str, BeforeValidator(number_or("EUR/kWh", ZONE)), number_or_schema("EUR/kWh")
]
_ZonePrice = Annotated[
    float | str, BeforeValidator(number_or("EUR/MWh", *PRICE_YEARS)), number_or_schema("EUR/MWh")
]
_Price = Annotated[float, Quantity("EUR/kWh")]


class BandPrices(Spec):
    """Energy prices by band: F1 peak hours of working days, F2 shoulder hours and Saturdays, F3 the rest."""

    f1: _Price = Field(description="Price in F1 [EUR/kWh].")
    f2: _Price = Field(description="Price in F2 [EUR/kWh].")
    f3: _Price = Field(description="Price in F3 [EUR/kWh].")


class Bill(Spec):
    """A bill in parts: energy by one of three ways, charges, excise, VAT, and what does not depend on energy."""

    energy_eur_kwh: _Price | None = Field(default=None, description="One energy price [EUR/kWh].")
    bands_eur_kwh: BandPrices | None = Field(
        default=None, description="Energy prices by band F1, F2, F3 [EUR/kWh]."
    )
    zone_spread_eur_kwh: _Price | None = Field(
        default=None, description="Energy at the hourly zonal price plus this [EUR/kWh]."
    )
    charges_eur_kwh: _Price = Field(
        default=0.0, description="Network and system charges on energy, without taxes [EUR/kWh]."
    )
    excise_eur_kwh: Annotated[float, Quantity("EUR/kWh", ge=0)] = Field(
        default=DEFAULT_EXCISE_EUR_KWH, description="Excise on energy [EUR/kWh]; the default is not verified."
    )
    vat_percent: Annotated[float, Quantity("%", ge=0, le=100)] = Field(
        default=DEFAULT_VAT_PERCENT, description="VAT on the whole bill [%]; the default is not verified."
    )
    fixed_eur_year: Annotated[float, Quantity("EUR/year", ge=0)] = Field(
        default=0.0, description="Fixed charges of a connection point, without VAT [EUR/year]."
    )
    power_eur_kw_year: Annotated[float, Quantity("EUR/kW/year", ge=0)] = Field(
        default=0.0, description="Charges on the contract power, without VAT [EUR/kW/year]."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the ways to price energy."""
        ways = ("energy_eur_kwh", "bands_eur_kwh", "zone_spread_eur_kwh")
        given = [way for way in ways if getattr(self, way) is not None]
        if not given:
            yield "", f"says not what energy costs; add one of {', '.join(ways)}"
        elif len(given) > 1:
            yield given[1], f"energy is priced twice, by {' and '.join(given)}; keep one"


class Prices(Spec):
    """What energy costs the homes. The defaults are assumptions, round figures for an Italian household."""

    import_eur_kwh: _ImportPrice | None = Field(
        default=0.25, description="Price of energy taken, or SOURCE.COLUMN [EUR/kWh]; none beside a bill."
    )
    bill: Bill | None = Field(default=None, description="Parts of a bill, in place of import_eur_kwh.")
    export_eur_kwh: _ExportPrice = Field(
        default=0.08,
        description="Price of energy fed in, SOURCE.COLUMN, or zone for the hourly zonal price [EUR/kWh].",
    )
    zone_eur_mwh: _ZonePrice = Field(
        default=PRICE_YEARS[0],
        description=f"Hourly zonal price: a number, SOURCE.COLUMN or {', '.join(PRICE_YEARS)} [EUR/MWh].",
    )

    @model_validator(mode="before")
    @classmethod
    def _bill_replaces_default(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("bill") is not None:
            return {"import_eur_kwh": None, **data}
        return data

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: a price beside a bill, or neither."""
        if self.bill is None and self.import_eur_kwh is None:
            yield "import_eur_kwh", "is missing; write a price, or a bill in its place"
        elif self.bill is not None and self.import_eur_kwh is not None:
            price = got(self.import_eur_kwh)
            yield (
                "import_eur_kwh",
                f"import_eur_kwh {price} and bill price the same energy twice; keep one",
            )


class Emissions(Spec):
    """What a kWh from the grid emits."""

    factor_kg_kwh: Annotated[
        float | str, BeforeValidator(number_or("kg/kWh")), number_or_schema("kg/kWh")
    ] = Field(
        default=DEFAULT_CO2_KG_KWH,
        description="CO2 of a kWh taken from the grid, or SOURCE.COLUMN [kg/kWh]; the default is not verified.",
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be: a factor below 0."""
        if isinstance(self.factor_kg_kwh, float) and self.factor_kg_kwh < 0:
            yield "factor_kg_kwh", f"must be at least 0 (got {self.factor_kg_kwh:g})"


class Reinforcement(Spec):
    """A reinforcement of the network that a strategy may put off."""

    growth_percent_year: Annotated[float, Quantity("%/year", ge=0, le=100)] = Field(
        description="Yearly growth of all power flows [%/year]."
    )
    discount_percent: Annotated[float, Quantity("%", ge=0, le=100)] = Field(
        description="Yearly discount rate [%]."
    )
    cost_eur: Annotated[float, Quantity("EUR", ge=0)] = Field(
        description="Cost of the reinforcement at prices of today [EUR]."
    )
    horizon_years: Annotated[float, Quantity("year", gt=0, le=200)] = Field(
        description="What is needed later than this counts as never [years]."
    )
