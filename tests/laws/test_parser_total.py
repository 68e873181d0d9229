"""The law of the parser: any text gives statements, or Hanse's own error with a place in the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hanse.errors import HanseError, SqlError
from hanse.sql.nodes import Statement
from hanse.sql.parser import parse

SEED = Path(__file__).parents[3] / "shared" / "seed"

STATEMENTS = (
    "CREATE MODEL m TRANSFORM (standard_scaler(a.b) s, vector_assembler(array(s, `c d`)) AS f) "
    "OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 3, TOL = -1.5e-3, x = [1, 'a']) AS SELECT a FROM t",
    "CREATE OR REPLACE MODEL league.g OPTIONS (TYPE='kmeans') AS WITH a AS (SELECT 1 AS x) SELECT * FROM a",
    "UPDATE MODEL m AS SELECT 1; DROP MODEL IF EXISTS m 2; SHOW MODELS; DESCRIBE MODEL m $v",
    "EXPORT MODEL m 1 TO 'x.json'; IMPORT MODEL m FROM 'y.json'; SET strict_binding = true; SHOW TABLES",
    "CREATE TEMP TABLE IF NOT EXISTS t USING parquet WITH (label='x') TRANSFORM (f(x) y) AS SELECT x FROM u;",
    "CREATE TABLE t (a INT, b STRUCT<x: ARRAY<INT>, y: MAP<STRING, DOUBLE>> NOT NULL, c DECIMAL(10, 2))",
    "INSERT INTO t (a, b) VALUES (1, 'x'), ($a, '$b'); CREATE VIEW v AS TABLE t; DESC t; DROP VIEW v",
    "SELECT p.a, COUNT(*) FROM MODEL_PREDICT (m, 1, SELECT a, b FROM t, u WHERE EXISTS(xs, x -> x.y > 0)) p "
    "JOIN model_centroids(m, 1) AS c ON p.prediction = c.cluster GROUP BY p.a ORDER BY 2 DESC LIMIT 3",
    "WITH a AS (SELECT * FROM model_evaluate(m, $v, (SELECT 1 UNION ALL SELECT 2))) SELECT 1 FROM a, b --x",
    "SELECT CASE WHEN x[0].y IS NULL THEN CAST(z AS STRING) ELSE '$q' END, INTERVAL 1 DAY, m['k'] "
    "FROM t LATERAL VIEW explode(xs) e AS x WHERE a IN (SELECT 1) AND b BETWEEN 1 AND 2 OR NOT c LIKE 'a%'",
    "EXPLAIN SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT * FROM (VALUES (1, 2)) AS t(a, b) PIVOT (sum(a) FOR b IN (1, 2)) TABLESAMPLE (10 PERCENT)",
)
SCRIPTS = (*STATEMENTS, *(path.read_text(encoding="utf-8") for path in sorted(SEED.glob("*.sql"))))

TOKENS = """
CREATE MODEL TABLE VIEW TEMP OR REPLACE IF NOT EXISTS UPDATE DROP SHOW MODELS TABLES DESCRIBE DESC EXPORT
IMPORT TO FROM SET EXPLAIN INSERT INTO VALUES SELECT WITH AS TRANSFORM OPTIONS USING WHERE GROUP BY ORDER
HAVING LIMIT JOIN LEFT ANTI CROSS ON UNION ALL EXCEPT INTERSECT LATERAL explode CASE WHEN THEN ELSE END
CAST INTERVAL DAY DATE TIMESTAMP NULL TRUE IN BETWEEN LIKE IS AND array map struct named_struct datediff
date_add date_format first count sum over PARTITION ROWS PIVOT UNPIVOT TABLESAMPLE model_predict
model_evaluate model_centroids m t a x1 é 名 `q` 'str' "str" '$p' $p ${p} 1 0 -1 1.5 1e3 1e999 10L 0x1F
2D ( ) [ ] { } < > , , . ; = == != <=> -> => :: : ? @ * + - / % || | & ^ ~ ! $ # \\ ' " ` -- /* */ /*+
"""
WORDS = TOKENS.split()


def check(text: str) -> None:
    outcome = attempt(text)
    if isinstance(outcome, tuple):
        assert all(isinstance(statement, Statement) for statement in outcome)
        assert all(statement.text in text for statement in outcome)
        return
    assert str(outcome)
    assert isinstance(outcome, SqlError)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert outcome.position is not None
    assert 1 <= outcome.position.line <= len(lines)
    assert 1 <= outcome.position.column <= len(lines[outcome.position.line - 1]) + 2


def attempt(text: str) -> tuple[Statement, ...] | HanseError:
    try:
        return parse(text)
    except HanseError as error:
        return error


def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(SCRIPTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        kind = draw(st.sampled_from(("cut", "put", "splice", "truncate", "swap")))
        if kind == "cut":
            text = text[:start] + text[start + length :]
        elif kind == "put":
            text = f"{text[:start]} {draw(st.sampled_from(WORDS))} {text[start:]}"
        elif kind == "splice":
            other = draw(st.sampled_from(SCRIPTS))
            text = text[:start] + other[draw(st.integers(0, len(other))) :]
        elif kind == "truncate":
            text = text[:start]
        else:
            text = text[:start] + draw(st.text(max_size=3)) + text[start + length :]
    return text


LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@settings(LAW, max_examples=1000)
@given(st.text(max_size=60))
@example("\x00")
@example("\ud800")
@example("$")
@example("/*+")
@example("SELECT 'a\r\nb' \u2028 x")
def test_any_text(text: str) -> None:
    check(text)


@settings(LAW, max_examples=2000)
@given(st.lists(st.sampled_from(WORDS), max_size=25), st.sampled_from(("", "SELECT ", "CREATE MODEL m ")))
def test_any_soup_of_words(words: list[str], prefix: str) -> None:
    check(prefix + " ".join(words))


@settings(LAW, max_examples=2500)
@given(st.composite(mutated)())
def test_any_mutation_of_real_scripts(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("start", "opening", "inner", "closing"),
    [
        ("SELECT ", "(", "1", ")"),
        ("SELECT ", "f(x -> ", "1", ")"),
        ("SELECT ", "[", "1", "]"),
        ("SELECT ", "CASE WHEN ", "1", " THEN 1 END"),
        ("SELECT ", "NOT - ", "1", ""),
        ("SELECT ", "a IN (", "1", ")"),
        ("SELECT CAST(1 AS ", "ARRAY<", "INT", ">"),
        ("SELECT * FROM ", "(SELECT * FROM ", "t", ")"),
        ("SELECT * FROM ", "model_predict(m, 1, SELECT * FROM ", "t", ")"),
        ("SELECT * FROM a", " JOIN b", "", ""),
        ("SELECT * FROM a", " JOIN (b", "", ")"),
        ("", "WITH a AS (", "SELECT 1", ") SELECT 1"),
    ],
)
@pytest.mark.parametrize("depth", [5, 20, 60, 200])
def test_nesting_neither_hangs_nor_exhausts_the_stack(
    start: str, opening: str, inner: str, closing: str, depth: int
) -> None:
    check(start + opening * depth + inner + closing * depth)
