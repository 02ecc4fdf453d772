"""The bill of one household for a week with a holiday, worked by hand.

Monday 2 April (Easter Monday, a holiday) to Sunday 8 April 2018, local time. The household draws every day, in kW:
0.25 from 0 to 7, 1 from 7 to 8, 0.5 from 8 to 19, 1.5 from 19 to 23, 0.25 from 23 to 24.

    one day           7 x 0.25 + 1 + 11 x 0.5 + 4 x 1.5 + 0.25 = 1.75 + 1 + 5.5 + 6 + 0.25 = 14.5 kWh
    F1  Tue to Fri    4 x 5.5                                  =                              22.0 kWh
    F2  Tue to Fri    4 x (1 + 6) = 28;  Sat 1 + 5.5 + 6 = 12.5 =                             40.5 kWh
    F3  Tue to Fri    4 x 2 = 8;  Sat 2;  Mon and Sun 2 x 14.5 = 29 =                         39.0 kWh
    week              7 x 14.5 = 22 + 40.5 + 39                =                             101.5 kWh

    energy   22 x 0.20 + 40.5 x 0.18 + 39 x 0.15 = 4.40 + 7.29 + 5.85 = 17.54000 EUR
    charges  101.5 x 0.05                                             =  5.07500 EUR
    excise   101.5 x 0.0227                                           =  2.30405 EUR
    fixed    73 EUR/year x 7/365                                      =  1.40000 EUR
    power    36.5 EUR/kW/year x 3 kW x 7/365                          =  2.10000 EUR
    sum      28.41905; VAT 10 % 2.841905; bill 31.260955              = 31.26 EUR
    of which energy, charges and excise 24.91905 x 1.1 = 27.410955, fixed and power 3.50 x 1.1 = 3.85

With the zonal price (50 EUR/MWh, 100 from 19 to 23) and a spread of 0.02 EUR/kWh in place of bands: 42 kWh (7 x 6) at
0.12 and 59.5 kWh at 0.07: 5.04 + 4.165 = 9.205 EUR; (9.205 + 5.075 + 2.30405 + 3.50) x 1.1 = 20.08405 x 1.1 = 22.092455.

Bands of the year 2018 (365 days, begins on a Monday: 261 Mondays to Fridays, 52 Saturdays). On Mondays to Fridays fall 1 January,
2 and 25 April, 1 May, 15 August, 1 November, 25 and 26 December; on Saturdays 6 January, 2 June, 8 December. F1:
(261 - 8) x 11 = 2783 h; F2: 253 x 5 + (52 - 3) x 16 = 1265 + 784 = 2049 h; F3: 8760 - 2783 - 2049 = 3928 h.
"""

from datetime import date, timedelta

import numpy as np
import pytest

from twin.clock import utc_s
from twin.community.bills import (
    energy_by_band_kwh,
    fixed_charges_eur,
    price_by_band_eur_kwh,
    taxed_eur,
    years_between,
)
from twin.community.calendar import band_of_hour
from twin.community.meters import MeterAccumulator
from twin.members import Communities
from twin.signals import Chunk

DAY_KW = [0.25] * 7 + [1.0] + [0.5] * 11 + [1.5] * 4 + [0.25]
BANDS_EUR_KWH = (0.20, 0.18, 0.15)
CHARGES_EUR_KWH, EXCISE_EUR_KWH, VAT_PERCENT = 0.05, 0.0227, 10.0
CONTRACT_KW = 3.0

START_UTC_S, END_UTC_S = utc_s(date(2018, 4, 2)), utc_s(date(2018, 4, 9))
HOURS_UTC_S = np.arange(START_UTC_S, END_UTC_S, 3600)
DRAWN_KWH = np.array(DAY_KW * 7)


def test_the_week_has_the_energy_of_the_table_in_each_band():
    by_band = energy_by_band_kwh(HOURS_UTC_S, DRAWN_KWH[:, None])
    np.testing.assert_allclose(by_band, [[22.0, 40.5, 39.0]], rtol=0, atol=1e-9)


def test_the_bill_with_bands_is_the_one_worked_by_hand():
    energy = price_by_band_eur_kwh(HOURS_UTC_S, BANDS_EUR_KWH)
    variable_eur = float(DRAWN_KWH @ taxed_eur(energy + CHARGES_EUR_KWH + EXCISE_EUR_KWH, VAT_PERCENT))
    assert variable_eur == pytest.approx(27.410955, rel=0, abs=1e-9)
    assert fixed_eur() == pytest.approx(3.85, rel=0, abs=1e-9)
    bill_eur = variable_eur + fixed_eur()
    assert bill_eur == pytest.approx(31.260955, rel=0, abs=1e-9)


def test_the_bill_at_the_zonal_price_with_a_spread_is_the_one_worked_by_hand():
    zone_eur_mwh = np.array(([50.0] * 19 + [100.0] * 4 + [50.0]) * 7)
    per_kwh = zone_eur_mwh / 1000 + 0.02 + CHARGES_EUR_KWH + EXCISE_EUR_KWH
    bill_eur = float(DRAWN_KWH @ taxed_eur(per_kwh, VAT_PERCENT)) + fixed_eur()
    assert bill_eur == pytest.approx(22.092455, rel=0, abs=1e-9)


def test_the_meters_of_a_run_add_up_the_same_cost_from_quarters():
    household = Communities(
        name=("alone",),
        kind=("CER",),
        perimeter=("cp",),
        area=("cp_east",),
        cp=np.array([0]),
        cp_name=("cp_east",),
        member_home=np.array([0]),
        member_community=np.array([0]),
        member_kind=("household",),
        member_role=("consumer",),
        member_contract_kw=np.array([CONTRACT_KW]),
        member_invest_eur=np.zeros(1),
        member_first_step=np.array([0]),
        member_end_step=np.array([672]),
        member_opted_out=np.zeros(1, dtype=np.bool_),
        member_reserve_share=np.zeros(1),
        member_delay_steps=np.array([0]),
    )
    quarters_utc_s = np.arange(START_UTC_S, END_UTC_S, 900)
    energy = price_by_band_eur_kwh(quarters_utc_s, BANDS_EUR_KWH)
    arrays = {
        "home.p_kw": np.repeat(DRAWN_KWH, 4)[:, None],
        "pv.p_kw": np.zeros((672, 0)),
        "feeder.price_import_eur_kwh": taxed_eur(energy + CHARGES_EUR_KWH + EXCISE_EUR_KWH, VAT_PERCENT)[
            :, None
        ],
        "feeder.price_export_eur_kwh": np.zeros((672, 1)),
    }
    meters = MeterAccumulator(
        household, dt_s=900, start_utc_s=START_UTC_S, n_steps=672, pv_home=np.zeros(0, dtype=np.int64)
    )
    meters.add(Chunk(first_step=0, arrays={key: array.astype(np.float32) for key, array in arrays.items()}))
    # prices of a run are stored in single precision: 7 digits
    assert meters.totals().energy_cost_eur[0] == pytest.approx(27.410955, rel=0, abs=1e-5)
    assert meters.totals().peak_kw[0] == 1.5
    assert meters.hourly().withdrawn_kwh.sum() == 101.5


def fixed_eur():
    years = years_between(START_UTC_S, END_UTC_S)
    charged = fixed_charges_eur(
        np.array([CONTRACT_KW]), years, fixed_eur_year=73.0, power_eur_kw_year=36.5, vat_percent=VAT_PERCENT
    )
    return float(charged[0])


def test_the_bands_of_2018_have_the_hours_counted_by_hand():
    hours = np.arange(utc_s(date(2018, 1, 1)), utc_s(date(2019, 1, 1)), 3600)
    assert len(hours) == 8760
    counts = np.bincount(band_of_hour(hours), minlength=4)
    assert counts.tolist() == [0, 2783, 2049, 3928]


@pytest.mark.parametrize(
    ("day", "bands"),
    [
        (date(2018, 1, 10), "33333332" + "1" * 11 + "22223"),
        (date(2018, 7, 11), "33333332" + "1" * 11 + "22223"),
        (date(2018, 7, 14), "3333333" + "2" * 16 + "3"),
        (date(2018, 4, 2), "3" * 24),
        (date(2019, 4, 22), "3" * 24),
        (date(2018, 4, 25), "3" * 24),
        (date(2018, 12, 8), "3" * 24),
        (date(2018, 10, 28), "3" * 25),
        (date(2018, 3, 25), "3" * 23),
        (date(2018, 3, 26), "33333332" + "1" * 11 + "22223"),
        (date(2018, 10, 29), "33333332" + "1" * 11 + "22223"),
    ],
    ids=[
        "winter Wednesday",
        "summer Wednesday",
        "Saturday",
        "Easter Monday 2018",
        "Easter Monday 2019",
        "Liberation Day",
        "Immaculate Conception on a Saturday",
        "Sunday of 25 hours",
        "Sunday of 23 hours",
        "Monday after clocks went forward",
        "Monday after clocks went back",
    ],
)
def test_every_hour_of_a_day_is_in_the_band_of_the_table(day, bands):
    hours = np.arange(utc_s(day), utc_s(day + timedelta(days=1)), 3600)
    assert "".join(map(str, band_of_hour(hours))) == bands
