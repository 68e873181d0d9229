"""``--param name=value``: what a value's text means."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.cli.parameters import parse_parameters, parse_value
from hanse.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2011-10-01", datetime.date(2011, 10, 1)),
        ("2011-10-01T12:30:00", datetime.datetime(2011, 10, 1, 12, 30)),
        ("2011-10-01 12:30", datetime.datetime(2011, 10, 1, 12, 30)),
        ("2011-10-01 12:30:00.25", datetime.datetime(2011, 10, 1, 12, 30, 0, 250_000)),
        ("2011-10-01T12:30:00Z", datetime.datetime(2011, 10, 1, 12, 30)),
        ("2011-10-01T12:30:00+02:00", datetime.datetime(2011, 10, 1, 10, 30)),
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("9223372036854775807", 2**63 - 1),
        ("0.5", 0.5),
        (".5", 0.5),
        ("-1.", -1.0),
        ("1e3", 1000.0),
        ("2.5E-3", 0.0025),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("007", "007"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("", ""),
        ("''", ""),
        ("'", "'"),
        ("'2010-12-01'", "2010-12-01"),
        ('"3"', "3"),
        ("'it''s'", "it's"),
        ("comfort_wear_store_view", "comfort_wear_store_view"),
        ("a=b", "a=b"),
        ("größe", "größe"),
        ("2011-10", "2011-10"),
        ("2011-10-01x", "2011-10-01x"),
    ],
)
def test_a_value_means(text: str, value: object) -> None:
    parsed = parse_value(text, "--param k")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["2011-13-01", "2011-02-30", "2011-10-01T25:00", "0001-01-01T00:00:00+10:00"])
def test_a_day_that_is_none_is_told_with_its_cure(text: str) -> None:
    with pytest.raises(UsageError, match=r"--param k=.*quote it to pass a text"):
        parse_parameters([f"k={text}"])


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "1" * 5000])
def test_a_number_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="more than 64 bits hold"):
        parse_parameters([f"k={text}"])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["k"], "--param k: need name=value"),
        ([""], "need name=value"),
        (["=3"], "'' is not a parameter's name"),
        (["1k=3"], "'1k' is not a parameter's name: need letters, digits and _"),
        (["$k=3"], r"'\$k' is not a parameter's name: leave out the \$"),
        (["k=3", "k=3"], "--param k=3: k is given twice"),
    ],
)
def test_a_bad_form_is_told_with_its_cure(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_parameters(texts)


@given(st.text())
def test_any_text_can_be_passed_in_quotes(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert parse_parameters([f"k={quoted}"]) == {"k": text}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_survives(number: float) -> None:
    assert parse_value(repr(number), "") == number


@given(st.text())
def test_only_a_usage_error_is_raised(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert len(parse_parameters([text])) == 1
