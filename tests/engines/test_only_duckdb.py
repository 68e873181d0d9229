"""What Spark, on whose results the other statements are checked, itself does by its settings or its version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import hanse
from hanse.errors import UnsupportedError

ROWS = "(SELECT * FROM VALUES ('a', 1), ('a', 2), ('b', 4), (NULL, 6) AS t(p, v))"


@pytest.fixture
def embedded() -> Iterator[hanse.Session]:
    with hanse.connect() as session:
        yield session


def test_ceiling_and_floor_of_far_numbers_stop_at_the_ends_of_bigint(embedded: hanse.Session) -> None:
    query = (
        "SELECT ceil(double('NaN')), floor(double('Infinity')), ceil(1e20D), floor(double('-Infinity')), floor(-1.5D)"
    )
    largest = 2**63 - 1
    assert embedded.sql(query).fetchall() == [(0, largest, largest, -(2**63), -2)]


def test_qualify_sees_a_column_of_from_before_an_alias(embedded: hanse.Session) -> None:
    query = f"SELECT p, -v AS v FROM {ROWS} QUALIFY row_number() OVER (ORDER BY v) = 1"
    assert embedded.sql(query).fetchall() == [("a", -1)]
    query = f"SELECT p, row_number() OVER (ORDER BY v DESC) AS r FROM {ROWS} QUALIFY r = 1"
    assert embedded.sql(query).fetchall() == [(None, 1)]


def test_a_window_beside_a_generator_is_refused(embedded: hanse.Session) -> None:
    """It would be computed before rows are multiplied."""
    with pytest.raises(UnsupportedError, match=r"window function beside a generator .*subquery in FROM"):
        embedded.sql(f"SELECT explode(array(v, v)) AS e, sum(v) OVER () AS s FROM {ROWS}")
    query = f"SELECT e, sum(v) OVER () AS s FROM (SELECT v, explode(array(v, v)) AS e FROM {ROWS})"
    assert {row[1] for row in embedded.sql(query).fetchall()} == {26}


@pytest.mark.parametrize(
    ("values", "asked", "found"),
    [
        ("(1), (2), (3)", "('1'), ('2.0'), (' 3')", [(1,)]),
        ("('2020-1-1'), ('2020-01-01')", "(date'2020-01-01')", [("2020-01-01",)]),
        ("('1'), ('x')", "(1), (3)", [("1",)]),
    ],
)
def test_texts_are_compared_as_texts_in_a_subquery(
    embedded: hanse.Session, values: str, asked: str, found: list[tuple[object]]
) -> None:
    query = f"SELECT x FROM VALUES {values} AS a(x) WHERE x IN (SELECT y FROM VALUES {asked} AS b(y))"
    assert embedded.sql(query).fetchall() == found


def test_a_map_with_structs_as_keys_comes_as_pairs(embedded: hanse.Session) -> None:
    ((found,),) = embedded.sql("SELECT map(named_struct('f', 1), 'x')").fetchall()
    assert found == [({"f": 1}, "x")]


def test_decimals_are_narrowed_by_their_low_bits_and_written_as_java_writes_them(embedded: hanse.Session) -> None:
    query = (
        "SELECT CAST(y AS TINYINT), CAST(y AS INT), CAST(y AS BIGINT) FROM VALUES "
        "(CAST(3000000000.5 AS DECIMAL(30, 2))), (99999999999999999999.99), (-1.99), (300.5) AS t(y)"
    )
    assert embedded.sql(query).fetchall() == [
        (0, -1294967296, 3000000000),
        (-1, 1661992959, 7766279631452241919),
        (-1, -1, -1),
        (44, 300, 300),
    ]
    query = "SELECT CAST(CAST(y AS DECIMAL(10, 7)) AS STRING) FROM VALUES ('0.00000012'), ('0'), ('12.5') AS t(y)"
    assert embedded.sql(query).fetchall() == [("1E-7",), ("0E-7",), ("12.5000000",)]


def test_a_day_of_the_week_that_is_none_has_no_next(embedded: hanse.Session) -> None:
    assert embedded.sql("SELECT next_day(DATE'2020-01-01', 'tues')").fetchall() == [(None,)]
