"""PV from sun and weather against pvlib's own model chain, symmetry and night."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pvlib
import pytest

from models.errors import DeviceError
from models.pv import PvArray, clear_sky_share, weather_share
from models.weather import read_weather

PALERMO = {
    "latitude_deg": 38.12,
    "longitude_deg": 13.36,
    "altitude_m": 20.0,
    "tilt_deg": 30.0,
    "azimuth_deg": 180.0,
    "loss_share": 0.14,
}
HOURS = np.arange("2001-01-01", "2002-01-01", dtype="datetime64[h]")


def steps(start, count, dt_s):
    return int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()) + dt_s * np.arange(count)


def weather_csv(path, hours=HOURS, **changes):
    """Write hourly weather in which the sun shines 500 W/m2 diffuse from 10 to 14 UTC."""
    shines = (hours - hours.astype("datetime64[D]")).astype(int)
    ghi = np.where((shines >= 10) & (shines < 14), 500.0, 0.0)
    columns = {
        "time": [f"{hour}:00Z" for hour in hours],
        "ghi": ghi,
        "dni": 0.0 * ghi,
        "dhi": ghi,
        "temp_air": 20.0,
    }
    pd.DataFrame(columns | changes).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def palermo_year():
    return clear_sky_share(PvArray(**PALERMO), times_utc_s=steps("2023-01-01", 8760, 3600), dt_s=3600)


def test_a_clear_year_in_palermo_yields_what_pvlibs_own_chain_yields(palermo_year):
    place = pvlib.location.Location(38.12, 13.36, altitude=20)
    system = pvlib.pvsystem.PVSystem(
        surface_tilt=30,
        surface_azimuth=180,
        module_parameters={"pdc0": 1.0, "gamma_pdc": -0.004},
        inverter_parameters={"pdc0": 10.0, "eta_inv_nom": 1.0},
        temperature_model_parameters={"u0": 25.0, "u1": 6.84},
        losses_parameters={},
    )
    chain = pvlib.modelchain.ModelChain(
        system,
        place,
        aoi_model="physical",
        spectral_model="no_loss",
        transposition_model="perez",
        dc_model="pvwatts",
    )
    middle = pd.date_range("2023-01-01 00:30", periods=8760, freq="h", tz="UTC")
    chain.run_model(place.get_clearsky(middle).assign(temp_air=20.0, wind_speed=1.0))
    witness_kwh = 0.86 * chain.results.dc.sum()
    assert palermo_year.sum() == pytest.approx(witness_kwh, rel=0.01)
    assert 1500 < palermo_year.sum() < 2000


def test_a_clear_sky_gives_more_than_weather_and_never_more_than_peak(palermo_year):
    assert 0.6 < palermo_year.max() < 1.0
    assert palermo_year.min() == 0.0


def test_there_is_no_power_at_night():
    night = clear_sky_share(PvArray(**PALERMO), times_utc_s=steps("2023-06-21T21:00", 20, 900), dt_s=900)
    assert np.all(night == 0.0)


def test_a_south_facing_array_is_symmetric_about_solar_noon():
    day_s = steps("2023-06-21", 1440, 60)
    place = pvlib.location.Location(38.12, 13.36)
    at = pd.to_datetime(day_s, unit="s", utc=True)
    noon = int(np.argmin(place.get_solarposition(at)["apparent_zenith"].to_numpy()))
    share = clear_sky_share(PvArray(**PALERMO), times_utc_s=day_s, dt_s=60)
    assert abs(int(np.argmax(share)) - noon) <= 3
    before, after = share[noon - 400 : noon], share[noon + 1 : noon + 401][::-1]
    np.testing.assert_allclose(before, after, atol=0.01)


def test_east_peaks_before_west_and_both_give_the_same_energy():
    day_s = steps("2023-06-21", 96, 900)
    east = clear_sky_share(PvArray(**(PALERMO | {"azimuth_deg": 90.0})), times_utc_s=day_s, dt_s=900)
    west = clear_sky_share(PvArray(**(PALERMO | {"azimuth_deg": 270.0})), times_utc_s=day_s, dt_s=900)
    assert np.argmax(east) < np.argmax(west)
    assert east.sum() == pytest.approx(west.sum(), rel=0.01)


def test_a_long_step_is_the_mean_of_its_parts():
    whole = clear_sky_share(PvArray(**PALERMO), times_utc_s=steps("2023-04-10", 24, 3600), dt_s=3600)
    parts = clear_sky_share(PvArray(**PALERMO), times_utc_s=steps("2023-04-10", 96, 900), dt_s=900)
    np.testing.assert_allclose(whole, parts.reshape(24, 4).mean(axis=1), atol=1e-12)


def test_losses_scale_the_output():
    times_s = steps("2023-04-10", 24, 3600)
    lossless = clear_sky_share(PvArray(**(PALERMO | {"loss_share": 0.0})), times_utc_s=times_s, dt_s=3600)
    lossy = clear_sky_share(PvArray(**(PALERMO | {"loss_share": 0.5})), times_utc_s=times_s, dt_s=3600)
    np.testing.assert_allclose(lossy, lossless / 2.0)


def test_no_steps_give_no_values():
    assert clear_sky_share(PvArray(**PALERMO), times_utc_s=steps("2023-01-01", 0, 900), dt_s=900).shape == (
        0,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latitude_deg", 91.0),
        ("longitude_deg", 200.0),
        ("tilt_deg", -1.0),
        ("azimuth_deg", 400.0),
        ("loss_share", 1.2),
    ],
)
def test_a_place_or_direction_that_does_not_exist_is_refused(field, value):
    with pytest.raises(DeviceError, match=f"{field} must be from"):
        clear_sky_share(
            PvArray(**(PALERMO | {field: value})), times_utc_s=steps("2023-01-01", 1, 900), dt_s=900
        )


def test_diffuse_weather_on_a_flat_array_follows_the_closed_form(tmp_path):
    file = weather_csv(tmp_path / "weather.csv")
    flat = PALERMO | {"tilt_deg": 0.0, "loss_share": 0.0}
    share = weather_share(file, PvArray(**flat), times_utc_s=steps("2023-06-21", 24, 3600), dt_s=3600)
    # Faiman at 20 degree C and 1 m/s: 500 / (25 + 6.84) K above air; PVWatts with -0.4 % per kelvin above 25.
    expected = 0.5 * (1 - 0.004 * (20 + 500 / 31.84 - 25))
    np.testing.assert_allclose(share[10:14], expected, rtol=1e-9)
    assert np.all(share[:10] == 0.0)
    assert np.all(share[14:] == 0.0)


def test_a_typical_year_serves_any_year_and_the_leap_day(tmp_path):
    file = weather_csv(tmp_path / "weather.csv", temp_air=np.arange(8760) / 8760.0)
    weather = read_weather(file)
    by_year = [weather.at(steps(f"{year}-10-05T12:00", 1, 1).astype(float)) for year in (1999, 2024, 2031)]
    np.testing.assert_array_equal(by_year[0], by_year[1])
    np.testing.assert_array_equal(by_year[0], by_year[2])
    leap, day_before = (weather.at(steps(f"2024-02-{day}T12:00", 1, 1).astype(float)) for day in (29, 28))
    np.testing.assert_array_equal(leap, day_before)


def test_a_file_of_one_week_serves_that_week_only(tmp_path):
    file = weather_csv(tmp_path / "week.csv", HOURS[:168])
    inside = weather_share(file, PvArray(**PALERMO), times_utc_s=steps("2023-01-03", 24, 3600), dt_s=3600)
    assert inside.max() > 0.1
    with pytest.raises(DeviceError, match=r"week\.csv: no weather for 01-08T00:02 UTC"):
        weather_share(file, PvArray(**PALERMO), times_utc_s=steps("2023-01-07", 25, 3600), dt_s=3600)


def test_pvlibs_sample_of_a_typical_year_in_north_carolina_gives_a_plausible_yield():
    file = Path(pvlib.__file__).parent / "data" / "723170TYA.CSV"
    greensboro = PALERMO | {"latitude_deg": 36.1, "longitude_deg": -79.95, "altitude_m": 273.0}
    share = weather_share(
        file, PvArray(**greensboro), times_utc_s=steps("2023-01-01T05:00", 8760, 3600), dt_s=3600
    )
    # PVWatts gives 1400 to 1500 kWh/kWp a year for Greensboro, fixed at 30 degrees.
    assert 1350 < share.sum() < 1550
    by_local_hour = share.reshape(365, 24).mean(axis=0)
    # Solar noon there is at 12:20 standard time.
    assert int(np.argmax(by_local_hour)) == 12


def epw(path, *, ghi="500"):
    head = ["LOCATION,Palermo,-,ITA,IWEC,164050,38.12,13.36,1.0,20.0", *["-"] * 7]
    rows = []
    for hour in HOURS:
        month, day, clock = str(hour)[5:7], str(hour)[8:10], int(str(hour)[11:13])
        front = f"1999,{int(month)},{int(day)},{clock + 1},60,flags,{clock},10,70,101325,0,0,300,{ghi},50,60"
        rows.append(front + ",9999" * 4 + ",180,2.5" + ",9" * 13)
    path.write_text("\n".join([*head, *rows]))
    return path


def pvgis_json(path, *, key="tmy_hourly"):
    rows = [
        {
            "time(UTC)": f"{2004 + int(str(hour)[5:7])}{str(hour)[5:7]}{str(hour)[8:10]}:{str(hour)[11:13]}00",
            "T2m": float(str(hour)[11:13]),
            "RH": 70.0,
            "G(h)": 500.0,
            "Gb(n)": 50.0,
            "Gd(h)": 60.0,
            "IR(h)": 300.0,
            "WS10m": 2.5,
            "WD10m": 180.0,
            "SP": 101325.0,
        }
        for hour in HOURS
    ]
    months = [{"month": month, "year": 2004 + month} for month in range(1, 13)]
    outputs = {"months_selected": months, key: rows}
    path.write_text(json.dumps({"inputs": {}, "outputs": outputs, "meta": {"inputs": {}}}))
    return path


def test_epw_rows_are_the_hour_that_ends_with_their_number_in_local_standard_time(tmp_path):
    weather = read_weather(epw(tmp_path / "palermo.epw"))
    # The row of hour 13 is 12 to 13 at UTC+1, so 11 to 12 UTC; its temperature is written as 12.
    found = weather.at(steps("2023-06-21T11:30", 1, 1).astype(float))
    assert found[:, 0].tolist() == [500.0, 50.0, 60.0, 12.0, 2.5]


def test_pvgis_instants_stand_for_half_an_hour_on_both_sides(tmp_path):
    weather = read_weather(pvgis_json(tmp_path / "tmy.json"))
    temp_degc = weather.at(steps("2023-03-01T00:00", 4, 1200).astype(float))[3]
    assert temp_degc.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_pvgis_csv_and_json_give_the_same_weather(tmp_path):
    rows = json.loads(pvgis_json(tmp_path / "tmy.json").read_text())["outputs"]["tmy_hourly"]
    head = [
        "Latitude (decimal degrees): 38.120",
        "Longitude (decimal degrees): 13.360",
        "Elevation (m): 20.0",
    ]
    months = ["month,year", *(f"{month},{2004 + month}" for month in range(1, 13))]
    table = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    notes = [*(f"{name}: a note" for name in list(rows[0])[1:]), "", "PVGIS (c) European Union"]
    (tmp_path / "tmy.csv").write_text("\r\n".join([*head, *months, *table, *notes]))
    from_csv, from_json = read_weather(tmp_path / "tmy.csv"), read_weather(tmp_path / "tmy.json")
    np.testing.assert_array_equal(from_csv.values, from_json.values)
    assert from_csv.offset_s == from_json.offset_s


def test_a_pvgis_series_in_the_plane_of_an_array_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="not a typical year of PVGIS"):
        read_weather(pvgis_json(tmp_path / "hourly.json", key="hourly"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ghi": [*[0.0] * 7, np.nan, *[0.0] * 8752]}, r"data row 8 \(2001-01-01 07:00:00.*ghi is nan"),
        ({"dni": [*[0.0] * 3, 9999.0, *[0.0] * 8756]}, "data row 4 .*dni is 9999"),
        ({"temp_air": ["cold", *[0.0] * 8759]}, "data row 1 .*temp_air is cold"),
        ({"time": [f"{hour}:00" for hour in HOURS]}, "data row 1: time without an offset"),
        ({"time": ["today", *[f"{hour}:00Z" for hour in HOURS[1:]]]}, "not a readable weather file"),
    ],
    ids=["gap", "missing-value code", "text", "no offset", "no time"],
)
def test_a_bad_cell_names_file_row_and_column(tmp_path, changes, words):
    with pytest.raises(DeviceError, match=rf"weather\.csv: .*{words}"):
        read_weather(weather_csv(tmp_path / "weather.csv", **changes))


def test_a_missing_hour_names_the_row_after_it(tmp_path):
    with pytest.raises(
        DeviceError, match=r"data row 11 \(2001-01-01T11:00:00\) does not follow 2001-01-01T09:00:00"
    ):
        read_weather(weather_csv(tmp_path / "weather.csv", np.delete(HOURS, 10)))


def test_more_than_a_year_is_refused(tmp_path):
    hours = np.arange("2001-01-01", "2003-03-01", dtype="datetime64[h]")
    with pytest.raises(DeviceError, match="more than one year"):
        read_weather(weather_csv(tmp_path / "weather.csv", hours))


def test_a_missing_file_and_a_missing_column_say_what_to_give(tmp_path):
    with pytest.raises(DeviceError, match="cannot be read"):
        read_weather(tmp_path / "none.csv")
    file = tmp_path / "few.csv"
    file.write_text("time,ghi\n2001-01-01T00:00Z,1\n2001-01-01T01:00Z,1\n")
    with pytest.raises(DeviceError, match="no column dni, dhi, temp_air; give EPW"):
        read_weather(file)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["2001-01-01T00:00Z,0,0,0,5"], "1 data rows; a weather file needs at least two"),
        (["2001-01-01T00:00Z,0,0,0,5", "2001-01-01T00:07Z,0,0,0,5"], "420 s does not divide a day"),
        (
            ["2001-01-01T01:00Z,0,0,0,5", "2001-01-01T00:00Z,0,0,0,5"],
            "does not divide a day; give .* in order",
        ),
        (["2001-01-01T00:00Z,0,0,0,5", ",0,0,0,5"], "data row 2: time without an offset"),
    ],
    ids=["one row", "odd step", "backwards", "no time"],
)
def test_rows_without_a_usable_step_are_refused(tmp_path, lines, words):
    file = tmp_path / "short.csv"
    file.write_text("\n".join(["time,ghi,dni,dhi,temp_air", *lines]))
    with pytest.raises(DeviceError, match=words):
        read_weather(file)


def test_a_csv_without_times_is_refused(tmp_path):
    file = tmp_path / "short.csv"
    file.write_text("ghi,dni,dhi,temp_air\n0,0,0,5\n0,0,0,5\n")
    with pytest.raises(DeviceError, match="no column time"):
        read_weather(file)


def test_a_leap_day_of_the_file_is_used(tmp_path):
    hours = np.arange("2024-01-01", "2025-01-01", dtype="datetime64[h]")
    file = weather_csv(tmp_path / "leap.csv", hours, temp_air=np.arange(8784) / 8784.0)
    day_28, day_29 = (
        read_weather(file).at(steps(f"2024-02-{day}T12:00", 1, 1).astype(float))[3, 0] for day in (28, 29)
    )
    assert day_29 == pytest.approx(day_28 + 24 / 8784)


def test_a_step_of_no_length_is_refused():
    with pytest.raises(DeviceError, match="step must be above 0 s"):
        clear_sky_share(PvArray(**PALERMO), times_utc_s=steps("2023-01-01", 1, 900), dt_s=0)


def test_a_missing_value_code_in_an_epw_is_found(tmp_path):
    with pytest.raises(DeviceError, match=r"data row 1 .*ghi is 9999"):
        read_weather(epw(tmp_path / "palermo.epw", ghi="9999"))


def test_a_binary_file_is_no_weather_file(tmp_path):
    file = tmp_path / "noise.csv"
    file.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(DeviceError, match="weather file"):
        read_weather(file)
