"""Time series of the user: what is read, what is refused, and the clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from twin.clock import local_iso, utc_s
from twin.errors import InputError, ProfileError
from twin.profiles.resample import resample_mean
from twin.profiles.table import read_table, window

ROME = "Europe/Rome"


def instant(text):
    return int(datetime.fromisoformat(text).timestamp())


@pytest.fixture
def csv(tmp_path):
    def write(*lines, header="time,home_1", name="load.csv"):
        file = tmp_path / name
        file.write_text("\n".join([header, *lines]) + "\n")
        return file

    return write


def quarter_hours(start, count, text="{:%Y-%m-%dT%H:%M},1.0"):
    first = datetime.fromisoformat(start)
    return [text.format(first + timedelta(minutes=15 * step)) for step in range(count)]


def test_local_times_and_powers_are_read(csv):
    table = read_table(
        csv("2016-07-01 00:00,1.5,2", "2016-07-01 00:15,2.5,3", header="time,home_1,home_2"),
        unit="kW",
        time_zone=ROME,
    )
    assert table.start_utc_s == instant("2016-07-01T00:00+02:00")
    assert (table.dt_s, table.unit, table.n_steps) == (900, "kW", 2)
    assert table.columns["home_1"].tolist() == [1.5, 2.5]
    assert table.columns["home_2"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("unit", "inside", "factor"),
    [
        ("W", "kW", 1e-3),
        ("MW", "kW", 1e3),
        ("kWh", "kW", 4.0),
        ("Wh", "kW", 4e-3),
        ("MWh", "kW", 4e3),
        ("EUR/MWh", "EUR/kWh", 1e-3),
        ("EUR/kWh", "EUR/kWh", 1.0),
        ("1", "1", 1.0),
    ],
)
def test_units_become_kw_eur_per_kwh_or_share(csv, unit, inside, factor):
    table = read_table(csv("2016-07-01T00:00Z,3", "2016-07-01T00:15Z,6"), unit=unit)
    assert table.unit == inside
    assert table.columns["home_1"] == pytest.approx([3 * factor, 6 * factor])


def test_an_unknown_unit_is_a_programming_mistake(csv):
    with pytest.raises(ValueError, match="no unit 'hp'"):
        read_table(csv("2016-07-01T00:00Z,3", "2016-07-01T00:15Z,6"), unit="hp")


def test_an_italian_spreadsheet_export_is_understood(csv):
    file = csv("2016-07-01 00:00;1,25", "2016-07-01 01:00;2,5", header="ora;carico")
    table = read_table(file, unit="kW", time_column="ora", time_zone=ROME)
    assert table.columns["carico"].tolist() == [1.25, 2.5]


def test_parquet_with_zoned_naive_and_text_times_gives_the_same_table(tmp_path):
    aware = [datetime(2016, 7, 1, hour, tzinfo=UTC) for hour in (10, 11)]
    local = [stamp.astimezone(ZoneInfo(ROME)).replace(tzinfo=None) for stamp in aware]
    columns = {
        "zoned": pa.array(aware, pa.timestamp("ns", tz="UTC")),
        "naive": pa.array(local, pa.timestamp("ms")),
        "text": pa.array([stamp.isoformat() for stamp in aware]),
    }
    tables = []
    for name, times in columns.items():
        file = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(pa.table({"time": times, "p": [1, 2]}), file)
        tables.append(read_table(file, unit="kW", time_zone=ROME))
    for table in tables:
        assert (table.start_utc_s, table.dt_s) == (instant("2016-07-01T10:00+00:00"), 3600)
        assert table.columns["p"].tolist() == [1.0, 2.0]


def test_the_repeated_hour_in_october_is_read_in_order(csv):
    before = quarter_hours("2016-10-30T01:45", 5)
    again = quarter_hours("2016-10-30T02:00", 8)
    table = read_table(csv(*before, *again), unit="kW", time_zone=ROME)
    assert table.start_utc_s == instant("2016-10-30T01:45+02:00")
    assert table.end_utc_s == instant("2016-10-30T04:00+01:00")


def test_the_missing_hour_in_march_is_read_where_it_is_left_out(csv):
    lines = [*quarter_hours("2016-03-27T01:00", 4), *quarter_hours("2016-03-27T03:00", 4)]
    table = read_table(csv(*lines), unit="kW", time_zone=ROME)
    assert (table.dt_s, table.n_steps) == (900, 8)


def test_a_time_that_does_not_exist_is_refused_with_the_zone_to_state(csv):
    with pytest.raises(
        ProfileError, match=r"row 5 \(2016-03-27 02:00:00\).*does not exist in Europe/Rome.*Etc/GMT-1"
    ):
        read_table(csv(*quarter_hours("2016-03-27T01:00", 12)), unit="kW", time_zone=ROME)


def test_a_file_on_winter_time_all_year_is_refused_in_local_time_and_read_in_its_own(csv):
    lines = quarter_hours("2016-10-30T01:00", 16)
    with pytest.raises(ProfileError, match=r"4 rows missing before this one.*state time_zone Etc/GMT-1"):
        read_table(csv(*lines), unit="kW", time_zone=ROME)
    assert read_table(csv(*lines), unit="kW", time_zone="Etc/GMT-1").n_steps == 16


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["2016-07-01T00:00,1", "2016-07-01T00:15,2"], r"row 1 .*times without offset; state time_zone"),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:15,2"], r"row 2 .*with and without offset are mixed"),
        (
            ["2016-07-01T00:00Z,1", "01/07/2016 00:15,2"],
            r"row 2: '01/07/2016 00:15' is no time; write ISO 8601",
        ),
        (["2016-07-01T00:00Z,1", ",2"], r"row 2: no time"),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:00Z,2"], r"row 2 .*same time as the row before"),
        (["2016-07-01T00:15Z,1", "2016-07-01T00:00Z,2"], r"row 2 .*earlier than the row before; sort"),
        (
            ["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,2", "2016-07-01T00:30Z,2", "2016-07-01T01:15Z,2"],
            r"row 4 .*2 rows missing before this one; fill the gap",
        ),
        (
            ["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,2", "2016-07-01T00:30Z,2", "2016-07-01T00:50Z,2"],
            r"row 4 .*1200 s after the row before, the others are 900 s apart",
        ),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,"], r"row 2 .*'home_1' is empty; fill the gap"),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,NaN"], r"row 2 .*'home_1' is empty"),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,inf"], r"row 2 .*'home_1' is inf"),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,off"], r"row 2 .*'home_1' is 'off', not a number"),
        (["2016-07-01T00:00Z,true", "2016-07-01T00:15Z,true"], r"'home_1' is True, not a number"),
        (["2016-07-01T00:00Z,1", "2016-07-01T00:15Z,2,3"], r"cannot be read as csv"),
        (["2016-07-01T00:00.5Z,1", "2016-07-01T00:15Z,2"], r"row 1"),
        (["2016-07-01T00:00:00.500Z,1", "2016-07-01T00:15Z,2"], r"row 1 .*fractions of a second"),
        (["2016-07-01T00:00Z,1"], r"1 data rows; a series needs at least two"),
        ([], r"no data rows"),
    ],
)
def test_a_bad_row_is_refused_with_file_row_and_remedy(csv, lines, words):
    with pytest.raises(ProfileError, match=rf"load\.csv: .*{words}"):
        read_table(csv(*lines), unit="kW")


@pytest.mark.parametrize(
    ("header", "time_column", "words"),
    [
        ("tme,home_1", "time", r"no time column 'time'; did you mean 'tme'\?"),
        ("hour,home_1", "time", r"no time column 'time'; it has hour, home_1"),
        ("time,time", "time", r"column 'time' occurs more than once"),
    ],
)
def test_a_bad_header_is_refused(csv, header, time_column, words):
    file = csv("2016-07-01T00:00Z,1", "2016-07-01T00:15Z,2", header=header)
    with pytest.raises(ProfileError, match=words):
        read_table(file, unit="kW", time_column=time_column)


def test_a_file_with_times_only_is_refused(csv):
    with pytest.raises(ProfileError, match="no column besides 'time'"):
        read_table(csv("2016-07-01T00:00Z", "2016-07-01T00:15Z", header="time"), unit="kW")


def test_columns_of_one_name_are_refused(csv):
    with pytest.raises(ProfileError, match="column 'p' occurs more than once"):
        read_table(csv("2016-07-01T00:00Z,1,2", "2016-07-01T00:15Z,2,3", header="time,p,p"), unit="kW")


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_a_missing_file_is_an_input_error(tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: no such file; check the path"):
        read_table(tmp_path / name, unit="kW")


@pytest.mark.parametrize("name", ["noise.csv", "noise.parquet"])
@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 4], ids=["empty", "binary"])
def test_an_empty_or_binary_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProfileError, match=rf"{name}: .*(cannot be read|no data|no time column)"):
        read_table(tmp_path / name, unit="kW")


def test_another_kind_of_file_a_folder_and_an_unknown_zone_are_refused(tmp_path, csv):
    with pytest.raises(ProfileError, match=r"neither \.csv nor \.parquet"):
        read_table(tmp_path / "load.xlsx", unit="kW")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ProfileError, match="cannot be read as csv"):
        read_table(tmp_path / "folder.csv", unit="kW")
    with pytest.raises(ProfileError, match="no time zone 'Europe/Roma'"):
        read_table(csv(), unit="kW", time_zone="Europe/Roma")


def test_numbers_as_times_in_parquet_are_refused(tmp_path):
    pyarrow.parquet.write_table(pa.table({"time": [1, 2], "p": [1, 2]}), tmp_path / "p.parquet")
    with pytest.raises(ProfileError, match="the time column holds int64"):
        read_table(tmp_path / "p.parquet", unit="kW")


def test_a_window_is_resampled_from_inside_the_file(csv):
    lines = [f"2016-07-01T0{hour}:00Z,{hour}" for hour in range(4)]
    table = read_table(csv(*lines), unit="kW")
    values = window(table, "home_1", start_utc_s=instant("2016-07-01T00:30+00:00"), dt_s=1800, n_steps=3)
    assert values.tolist() == [0.0, 1.0, 1.0]


def test_a_window_outside_the_file_says_what_the_file_covers(csv):
    table = read_table(csv("2016-07-01T00:00Z,1", "2016-07-01T01:00Z,2"), unit="kW")
    covers = (
        r"covers 2016-07-01T02:00\+02:00 to 2016-07-01T04:00\+02:00, the run needs 2016-07-01T03:00\+02:00 to"
    )
    with pytest.raises(ProfileError, match=covers):
        window(table, "home_1", start_utc_s=instant("2016-07-01T01:00+00:00"), dt_s=3600, n_steps=2)
    with pytest.raises(ProfileError, match="covers"):
        window(table, "home_1", start_utc_s=table.start_utc_s - 1, dt_s=3600, n_steps=1)


def test_a_misspelt_column_is_named_with_the_nearest(csv):
    table = read_table(csv("2016-07-01T00:00Z,1", "2016-07-01T01:00Z,2"), unit="kW")
    with pytest.raises(ProfileError, match=r"no column 'home1'; did you mean 'home_1'\?"):
        window(table, "home1", start_utc_s=table.start_utc_s, dt_s=3600, n_steps=1)


@pytest.mark.parametrize(
    ("dt_from_s", "dt_to_s", "values", "expected"),
    [
        (900, 1800, [1.0, 3.0, 5.0, 7.0], [2.0, 6.0]),
        (1800, 900, [2.0, 6.0], [2.0, 2.0, 6.0, 6.0]),
        (600, 900, [3.0, 6.0, 9.0], [4.0, 8.0]),
        (900, 600, [2.0, 4.0], [2.0, 3.0, 4.0]),
        (900, 900, [2.0, 4.0], [2.0, 4.0]),
    ],
    ids=["averaged", "held", "overlap to coarser", "overlap to finer", "same"],
)
def test_steps_change_with_their_integral_kept(dt_from_s, dt_to_s, values, expected):
    assert resample_mean(np.array(values), dt_from_s, dt_to_s) == pytest.approx(expected, abs=1e-12)


def test_several_columns_are_resampled_alike_from_an_offset():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert resample_mean(values, 900, 900, offset_s=450, n_steps=2).tolist() == [[1.5, 15.0], [2.5, 25.0]]
    assert resample_mean(values, 900, 600, n_steps=0).shape == (0, 2)


@pytest.mark.parametrize(
    ("dt_from_s", "dt_to_s", "more"),
    [
        (900, 0, {}),
        (0, 900, {}),
        (900, 700, {}),
        (900, 900, {"n_steps": 4}),
        (900, 900, {"offset_s": -900, "n_steps": 1}),
        (900, 900, {"n_steps": -1}),
    ],
)
def test_what_the_series_does_not_cover_cannot_be_resampled(dt_from_s, dt_to_s, more):
    with pytest.raises(ValueError, match=r"\d+ s|above 0 s"):
        resample_mean(np.ones(3), dt_from_s, dt_to_s, **more)


def test_a_result_of_resampling_is_the_callers_own():
    values = np.ones(4)
    resample_mean(values, 900, 900)[0] = 5.0
    assert values[0] == 1.0


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2016-01-15T12:00", "2016-01-15T12:00+01:00"),
        ("2016-07-15T12:00:30", "2016-07-15T12:00:30+02:00"),
        ("2016-10-30T02:30", "2016-10-30T02:30+02:00"),
        ("2016-07-15T10:00+00:00", "2016-07-15T12:00+02:00"),
    ],
)
def test_local_time_goes_to_utc_and_back(text, iso):
    seconds = utc_s(datetime.fromisoformat(text))
    assert local_iso(seconds) == iso
    assert seconds == instant(iso)


def test_the_second_of_two_equal_local_times_is_asked_for_with_fold():
    first = datetime(2016, 10, 30, 2, 30)  # noqa: DTZ001  # a local time is what this is about
    assert utc_s(first.replace(fold=1)) - utc_s(first) == 3600


def test_a_local_time_that_does_not_exist_has_no_utc():
    with pytest.raises(ValueError, match="does not exist in Europe/Rome"):
        utc_s(datetime.fromisoformat("2016-03-27T02:30"))
    with pytest.raises(ValueError, match="fractions"):
        utc_s(datetime.fromisoformat("2016-03-27T12:30:00.5"))


@pytest.mark.parametrize(("day", "hours"), [("2016-03-26", 24), ("2016-03-27", 23), ("2016-10-30", 25)])
def test_local_days_have_as_many_hours_as_the_clock_says(day, hours):
    start = date.fromisoformat(day)
    assert (utc_s(start + timedelta(days=1)) - utc_s(start)) / 3600 == hours
