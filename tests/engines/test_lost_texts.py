"""Texts that stand where a date, a timestamp or a number is wanted, and are none."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanse

DAYS = "VALUES (TIMESTAMP '2024-01-01 10:00:00', 1), (TIMESTAMP '2024-01-03 10:00:00', 3)"


@pytest.fixture
def days(session: hanse.Session) -> hanse.Session:
    session.sql(f"CREATE OR REPLACE TABLE days AS SELECT * FROM {DAYS} AS t(at, id)")
    return session


@pytest.mark.parametrize(
    ("where", "text", "place", "kind"),
    [
        ("at > 'yesterday'", "yesterday", "line 1, column 38", "TIMESTAMP"),
        ("at BETWEEN '2023-02-30' AND '2025-01-01'", "2023-02-30", "line 1, column 44", "TIMESTAMP"),
        ("CAST(at AS DATE) = '01.02.2024'", "01.02.2024", "line 1, column 52", "DATE"),
        ("id >= 'many'", "many", "line 1, column 39", "INT"),
    ],
)
def test_a_text_that_is_no_such_value_is_told(
    days: hanse.Session, where: str, text: str, place: str, kind: str
) -> None:
    result = days.sql(f"SELECT count(*) FROM days WHERE {where}")
    (warning,) = result.warnings
    assert warning.startswith(
        f"the text '{text}' at {place} is no {kind}, which is wanted there, so it counts as NULL: "
    )


def test_a_parameter_that_is_no_date_is_told_and_one_that_is_is_not(days: hanse.Session) -> None:
    query = "SELECT count(*) FROM days WHERE at BETWEEN $start AND $end"
    result = days.sql(query, {"start": "yesterday", "end": "2024-01-02"})
    assert result.fetchall() == [(0,)]
    assert [w.partition(" is no ")[0] for w in result.warnings] == ["the text 'yesterday' at line 1, column 44"]
    result = days.sql(query, {"start": "2024", "end": "2024-01-02"})
    assert (result.fetchall(), result.warnings) == ([(1,)], [])


def test_a_table_and_a_model_are_made_with_the_warning(days: hanse.Session) -> None:
    made = days.sql("CREATE OR REPLACE TABLE late AS SELECT * FROM days WHERE at > 'tomorrow'")
    assert [w.partition(" at ")[0] for w in made.warnings] == ["the text 'tomorrow'"]
    made = days.sql(
        "CREATE OR REPLACE MODEL m OPTIONS (MODEL_TYPE = 'kmeans') AS "
        "SELECT id, CASE WHEN at > 'noon' THEN 1 ELSE 2 END AS half FROM days"
    )
    assert made.warnings[0].startswith("the text 'noon' at line 1, column")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id || 'abc', concat('abc', at), CASE WHEN id > 1 THEN id ELSE 'abc' END FROM days",
        "SELECT try_cast('abc' AS INT), CAST('abc' AS DATE) FROM days",
        "SELECT date_format(at, 'yyyy'), date_trunc('month', at), trunc(at, 'MM') FROM days",
        "SELECT * FROM days WHERE CAST(at AS STRING) = 'yesterday' OR CAST(id AS STRING) = 'many'",
        "SELECT * FROM days WHERE at > '2024-1-2' OR at = ' 2024-01-03 10:00:00 ' OR id = ' 3 '",
    ],
)
def test_what_is_meant_as_a_text_is_not_told(days: hanse.Session, query: str) -> None:
    result = days.sql(query)
    assert len(result.columns) > 0
    assert result.warnings == []


_DATES = st.tuples(*[st.integers(0, limit).map(str) for limit in (12_000, 14, 33)]).map("-".join)
_TEXTS = st.one_of(
    st.text(string.digits + "-+: T.eEdDfFinaNZ", max_size=20),
    _DATES,
    st.tuples(_DATES, st.sampled_from(["T", " ", ""]), st.sampled_from(["10", "10:20", "25:00:00", "1:2:3.5Z"])).map(
        "".join
    ),
)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(_TEXTS, min_size=1, max_size=12), kind=st.sampled_from(["DATE", "TIMESTAMP", "BIGINT", "DOUBLE"]))
def test_only_what_becomes_null_is_told(texts: list[str], kind: str) -> None:
    """The cast that Spark's own results are compared with is the referee."""
    with hanse.connect() as session:
        for text in texts:
            told = session.sql(f"SELECT CAST(NULL AS {kind}) > $text", {"text": text}).warnings
            if told:
                (found,) = session.sql(f"SELECT CAST($text AS {kind}) IS NULL", {"text": text}).fetchall()
                assert found == (True,), text
