"""Parameters become typed literals; no value can be read as SQL."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import BindError
from hanse.sql.parameters import bind_parameters, literal
from hanse.sql.render import render, to_sql
from hanse.types import Value

from .render_support import FixedCatalog, parsed


@pytest.fixture(scope="module", autouse=True)
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        answer.connection = opened  # type: ignore[attr-defined]
        yield opened


def answer(sql: str, **parameters: Value) -> list[tuple[object, ...]]:
    tree = bind_parameters(parsed(sql), parameters)
    found: list[tuple[object, ...]] = answer.connection.execute(to_sql(render(tree, FixedCatalog({})))).fetchall()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (None, "INTEGER"),
        (True, "BOOLEAN"),
        (7, "INTEGER"),
        (-7, "INTEGER"),
        (3_000_000_000, "BIGINT"),
        (0.1, "DOUBLE"),
        (-1e-300, "DOUBLE"),
        (1e22, "DOUBLE"),
        (5.0, "DOUBLE"),
        (math.inf, "DOUBLE"),
        (decimal.Decimal("12.50"), "DECIMAL(4,2)"),
        (decimal.Decimal("-1E+3"), "DECIMAL(4,0)"),
        (datetime.date(2011, 10, 1), "DATE"),
        (datetime.datetime(2011, 10, 1, 12, 30, 0, 5), "TIMESTAMP"),
        ("text", "VARCHAR"),
        ("it's", "VARCHAR"),
        ("'; DROP TABLE customers; --", "VARCHAR"),
        ("back\\slash \\' \n \t 日本", "VARCHAR"),
        ("$other", "VARCHAR"),
        ("", "VARCHAR"),
    ],
)
def test_a_value_survives(value: Value, type_: str) -> None:
    tree = bind_parameters(parsed("SELECT $p AS x, '$p' AS y"), {"p": value})
    with duckdb.connect() as connection:
        relation = connection.sql(to_sql(render(tree, FixedCatalog({}))))
        assert relation.fetchall() == [(value, value)]
        if value is not None:
            assert str(relation.types[0]) == type_


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_text_survives(value: str) -> None:
    assert answer("SELECT $p AS x, concat('<', '$p', '>') AS y", p=value) == [(value, f"<{value}>")]


@given(st.floats(allow_nan=False))
def test_any_double_survives_to_the_last_bit(value: float) -> None:
    [(found,)] = answer("SELECT $p AS x", p=value)
    assert isinstance(found, float)
    assert (found, math.copysign(1, found)) == (value, math.copysign(1, value))


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_any_integer_survives(value: int) -> None:
    assert answer("SELECT $p AS x", p=value) == [(value,)]


def test_nan_is_a_number() -> None:
    [(found,)] = answer("SELECT $p AS x", p=math.nan)
    assert math.isnan(found)  # type: ignore[arg-type]


def test_a_time_zone_is_taken_off() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2020, 1, 1, 12, tzinfo=zone)
    assert answer("SELECT $p AS x", p=moment) == [(datetime.datetime(2020, 1, 1, 10),)]


def test_dates_bound_a_range() -> None:
    sql = "SELECT x FROM VALUES (timestamp '2011-01-01 10:00:00') t(x) WHERE x BETWEEN $start AND '$end'"
    bounds: dict[str, Value] = {"start": datetime.date(2011, 1, 1), "end": datetime.date(2011, 1, 2)}
    assert len(answer(sql, **bounds)) == 1


def test_a_string_with_a_dollar_inside_is_a_string() -> None:
    assert answer("SELECT 'costs $p' AS x", p=1) == [("costs $p",)]


def test_binding_twice_does_not_read_a_value_as_a_parameter() -> None:
    once = bind_parameters(parsed("SELECT $p AS x"), {"p": "$q"})
    assert bind_parameters(once, {}).sql() == once.sql()


def test_the_tree_stays_as_it_is() -> None:
    tree = parsed("SELECT $p AS x")
    bind_parameters(tree, {"p": 1})
    assert tree.sql(dialect="spark") == parsed("SELECT $p AS x").sql(dialect="spark")


def test_a_missing_parameter_names_the_nearest() -> None:
    with pytest.raises(BindError, match=r"parameter \$start_dat has no value.*did you mean start_date\?"):
        bind_parameters(parsed("SELECT\n  $start_dat"), {"start_date": 1, "end": 2})


def test_a_missing_quoted_parameter_has_a_place() -> None:
    with pytest.raises(BindError) as caught:
        bind_parameters(parsed("SELECT 1,\n  upper('$p')"), {})
    assert caught.value.position is not None
    assert caught.value.position.line == 2


def test_a_parameter_is_no_name() -> None:
    with pytest.raises(BindError, match=r"parameter \$p in place of a name"):
        bind_parameters(parsed("SELECT 1 FROM $p"), {"p": "t"})


@pytest.mark.parametrize("value", [decimal.Decimal("1e40"), [1], object()])
def test_a_value_that_has_no_type(value: object) -> None:
    with pytest.raises(BindError):
        literal(value)  # type: ignore[arg-type]
