"""Values as JSON, CSV and tables show them."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.cli.values import cell, csv_field, json_bytes, plain_columns


def plain(value: Any, kind: pa.DataType) -> Any:
    """A value as it comes back from JSON text."""
    batch = pa.record_batch({"x": pa.array([value], kind)})
    return json.loads(json_bytes(plain_columns(batch)))[0][0]


DAY = datetime.date(2011, 10, 1)
MOMENT = datetime.datetime(2011, 10, 1, 12, 30, 0, 5)


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (None, pa.float64(), None),
        (1.5, pa.float64(), 1.5),
        (float("nan"), pa.float64(), "NaN"),
        (float("inf"), pa.float64(), "Infinity"),
        (float("-inf"), pa.float32(), "-Infinity"),
        (0.1, pa.float64(), 0.1),
        (2**63 - 1, pa.int64(), 2**63 - 1),
        (True, pa.bool_(), True),
        ('it\'s "so"\n', pa.string(), 'it\'s "so"\n'),
        (DAY, pa.date32(), "2011-10-01"),
        (MOMENT, pa.timestamp("us"), "2011-10-01T12:30:00.000005"),
        (MOMENT.replace(tzinfo=datetime.UTC), pa.timestamp("us", "UTC"), "2011-10-01T12:30:00.000005Z"),
        (1_317_472_200_000_000_001, pa.timestamp("ns"), "2011-10-01T12:30:00"),
        (datetime.time(12, 30), pa.time64("us"), "12:30:00"),
        (datetime.timedelta(days=1, seconds=2), pa.duration("us"), "P1DT2S"),
        ((14, 3, 1_500_000_000), pa.month_day_nano_interval(), "P14M3DT1.5S"),
        ((0, 0, 0), pa.month_day_nano_interval(), "PT0S"),
        ((0, 2, 0), pa.month_day_nano_interval(), "P2D"),
        (b"\x00\xff", pa.binary(), "00ff"),
        (Decimal("1.50"), pa.decimal128(10, 2), 1.5),
        (Decimal(7), pa.decimal128(38, 0), 7),
        (Decimal(2**53), pa.decimal128(38, 0), 2**53),
        (Decimal(2**53 + 1), pa.decimal128(38, 0), "9007199254740993"),
        (Decimal("123456789.123456789"), pa.decimal128(38, 9), "123456789.123456789"),
        (Decimal("0.100000000000000000"), pa.decimal128(38, 18), 0.1),
        ([1.0, None, float("nan")], pa.list_(pa.float64()), [1.0, None, "NaN"]),
        ([], pa.list_(pa.string()), []),
        ([1, 2], pa.list_(pa.int64(), 2), [1, 2]),
        ({"a": 1, "b": None}, pa.struct({"a": pa.int64(), "b": pa.float64()}), {"a": 1, "b": None}),
        ({"a": b"\x01"}, pa.struct({"a": pa.binary()}), {"a": "01"}),
        (
            [("ECID", [{"id": "x"}])],
            pa.map_(pa.string(), pa.list_(pa.struct({"id": pa.string()}))),
            {"ECID": [{"id": "x"}]},
        ),
        ([(1, float("inf"))], pa.map_(pa.int64(), pa.float64()), {"1": "Infinity"}),
        ([(DAY, None)], pa.map_(pa.date32(), pa.float64()), {"2011-10-01": None}),
        (None, pa.null(), None),
    ],
)
def test_json_keeps_a_value(value: Any, kind: pa.DataType, shown: Any) -> None:
    found = plain(value, kind)
    assert found == shown
    assert type(found) is type(shown)


FAR = 2_932_897  # days from 1970 to the year 10000


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (FAR, pa.date32(), "10000-01-01"),
        (FAR * 86_400, pa.timestamp("s"), "10000-01-01 00:00:00"),
        ([FAR, 0], pa.list_(pa.date32()), ["10000-01-01", "1970-01-01"]),
        ({"a": [{"b": FAR}]}, pa.struct({"a": pa.list_(pa.struct({"b": pa.date32()}))}), {"a": [{"b": "10000-01-01"}]}),
        ([("k", FAR)], pa.map_(pa.string(), pa.date32()), {"k": "10000-01-01"}),
    ],
)
def test_a_day_that_python_does_not_know_is_shown(value: Any, kind: pa.DataType, shown: Any) -> None:
    assert plain(value, kind) == shown


def test_a_dictionary_column_shows_its_values() -> None:
    batch = pa.record_batch({"x": pa.array(["a", None, "a"]).dictionary_encode()})
    assert plain_columns(batch) == [["a", None, "a"]]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20))
def test_a_decimal_loses_nothing(value: Decimal) -> None:
    found = plain(value, pa.decimal128(38, 12))
    assert Decimal(found if isinstance(found, str) else repr(found)) == value


@given(st.floats())
def test_a_float_comes_back_to_the_last_bit(value: float) -> None:
    found = plain(value, pa.float64())
    assert repr(float(found)) == repr(value)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ("", '""'),
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('say "so"', '"say ""so"""'),
        ("two\nlines", '"two\nlines"'),
        (" edge", '" edge"'),
        (1.5, "1.5"),
        (True, "true"),
        (DAY, "2011-10-01"),
        (MOMENT, "2011-10-01T12:30:00.000005"),
        ("NaN", "NaN"),
        ([1, 2], '"[1,2]"'),
        ({"a": "x"}, '"{""a"":""x""}"'),
    ],
)
def test_a_csv_field(value: Any, field: str) -> None:
    assert csv_field(value) == field


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        (1 / 3, 0, "0.333333"),
        (1234567.8, 0, "1234568"),
        (1e20, 0, "1e+20"),
        (12.0, 0, "12"),
        (True, 0, "true"),
        (MOMENT, 0, "2011-10-01 12:30:00.000005"),
        ({"a": [1 / 3]}, 60, '{"a":[0.333333]}'),
        (list(range(100)), 10, "[0,1,2,3,…"),
        ("x" * 200, 120, "x" * 119 + "…"),
        ("x" * 200, 0, "x" * 200),
        ("tab\there\x1b[31m", 0, "tab\\there\\x1b[31m"),
        ("größe", 0, "größe"),
    ],
)
def test_a_table_rounds_and_cuts_for_the_eye(value: Any, limit: int, shown: str) -> None:
    assert cell(value, limit) == shown
