"""Queries that are longer or deeper than can be carried over are refused, with the place and the cure."""

from __future__ import annotations

import pytest

import hanse
from hanse import errors

MANY = 2000

LONG = {
    "sum": "SELECT " + "+".join(["1"] * MANY) + " AS x",
    "concatenation": "SELECT " + "||".join(["'a'"] * MANY) + " AS x",
    "disjunction": "SELECT id AS x FROM range(3) WHERE " + " OR ".join(f"id = {i}" for i in range(MANY)),
    "union": " UNION ALL ".join(f"SELECT {i} AS x" for i in range(MANY)),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_query_is_refused(session: hanse.Session, name: str) -> None:
    session.sql("CREATE TABLE kept AS SELECT 1 AS one")
    message = (
        r"^a query nested too deeply, or with too many operators in a row at line 2, column \d+: name its parts in"
    )
    for statement in ("", "CREATE OR REPLACE TABLE kept AS\n", "INSERT INTO kept\n"):
        with pytest.raises(errors.UnsupportedError, match=message):
            session.sql(f"{statement or chr(10)}{LONG[name]}")
    assert session.sql("SELECT one FROM kept").fetchall() == [(1,)]


def test_the_cures(session: hanse.Session) -> None:
    numbers = ", ".join(str(i) for i in range(MANY))
    assert session.sql(f"SELECT id FROM range(3) WHERE id IN ({numbers})").fetchall() == [(0,), (1,), (2,)]
    rows = ", ".join(f"({i})" for i in range(MANY))
    assert session.sql(f"SELECT count(*) FROM VALUES {rows} AS t(x)").fetchall() == [(MANY,)]
