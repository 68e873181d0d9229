"""The text that Spark SQL is rendered to (render.sql): input, and expected output for each engine."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from hanse.sql.render import render, to_sql
from hanse.sql.rendering.types import engine_text, parse_type

from .render_support import FIXTURES, DuckCatalog, FixedCatalog, parsed, statements

GOLDEN = dict(statements((FIXTURES / "render.sql").read_text()))
TABLES = {name: table["duckdb"] for name, table in json.loads((FIXTURES / "rows_tables.json").read_text()).items()}


@pytest.mark.parametrize("title", GOLDEN)
def test_golden(title: str) -> None:
    sql, rest = GOLDEN[title].split("-- duckdb:")
    tree, texts = parsed(sql.strip()), dict(zip(("duckdb", "spark"), rest.split("-- spark:"), strict=True))
    for dialect, expected in texts.items():
        assert to_sql(render(tree, FixedCatalog(TABLES), dialect), dialect) == expected.strip()


@pytest.mark.parametrize(
    ("text", "spark"),
    [
        ("INTEGER", "INT"),
        ("DECIMAL(10,2)", "DECIMAL(10,2)"),
        ("STRUCT(id VARCHAR, x DOUBLE)[]", "ARRAY<STRUCT<id: STRING, x: DOUBLE>>"),
        ("MAP(VARCHAR, STRUCT(id VARCHAR)[])", "MAP<STRING, ARRAY<STRUCT<id: STRING>>>"),
        ('STRUCT("a ""b""" INTEGER, "order" DATE)', 'STRUCT<a "b": INT, order: DATE>'),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
        ("BIGINT[][]", "ARRAY<ARRAY<BIGINT>>"),
        ("INTEGER[3]", "INTEGER[3]"),
    ],
)
def test_types(text: str, spark: str) -> None:
    assert str(parse_type(text)) == spark
    written = engine_text(parse_type(text))
    with duckdb.connect() as connection:
        again = str(connection.sql(f"SELECT CAST(NULL AS {written}) AS x").types[0])
    assert parse_type(again) == parse_type(text)


@pytest.mark.parametrize(
    ("type_", "expression", "expected"),
    [
        ("TIMESTAMP WITH TIME ZONE", "date_format(x, 'yyyy-MM-dd HH')", "2020-01-01 10"),
        ("HUGEINT", "x + 1", 6),
        ("UTINYINT", "x * 2", 10),
        ("TIMESTAMP_S", "datediff(DAY, x, date '2020-01-03')", 1),
        ("UUID", "upper(x)", "00000000-0000-0000-0000-0000000000AB"),
        ("ENUM('a', 'b')", "concat(x, '!')", "a!"),
        ("INTEGER[2]", "x[1]", 2),
    ],
)
def test_columns_of_types_that_spark_lacks(type_: str, expression: str, expected: object) -> None:
    given = {
        "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ '2020-01-01 12:00:00+02:00'",
        "HUGEINT": "5",
        "UTINYINT": "5",
        "TIMESTAMP_S": "'2020-01-01 10:00:00'",
        "UUID": "'00000000-0000-0000-0000-0000000000ab'",
        "ENUM('a', 'b')": "'a'",
        "INTEGER[2]": "[1, 2]",
    }[type_]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE t AS SELECT CAST({given} AS {type_}) AS x")
        described = str(connection.sql("FROM t").types[0])
        sql = to_sql(render(parsed(f"SELECT {expression} AS y FROM t"), FixedCatalog({"t": {"x": described}})))
        assert connection.sql(sql).fetchall() == [(expected,)]


def test_files_are_tables(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        for kind in ("parquet", "json", "csv"):
            connection.execute(f"COPY (SELECT 1 AS a, 'it''s' AS b) TO '{tmp_path}/x.{kind}' (FORMAT {kind})")
        catalog = DuckCatalog(connection)
        for kind, sql, expected in (
            ("parquet", "SELECT p.a + 1 AS a, b FROM parquet.`{}` p", [(2, "it's")]),
            ("json", "SELECT * FROM json.`{}`", [(1, "it's")]),
            ("csv", "SELECT _c0, c._c1 FROM csv.`{}` c ORDER BY _c0 DESC", [("a", "b"), ("1", "it's")]),
        ):
            query = parsed(sql.format(f"{tmp_path}/x.{kind}"))
            assert connection.sql(to_sql(render(query, catalog))).fetchall() == expected


def test_a_qualified_table() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 1 AS id, {'x': 2} AS s")
        query = parsed("SELECT shop.orders.id, orders.s.x AS x, id AS again FROM shop.orders")
        relation = connection.sql(to_sql(render(query, DuckCatalog(connection))))
        assert (relation.columns, relation.fetchall()) == (["id", "x", "again"], [(1, 2, 1)])


def test_nothing_is_marked_for_good() -> None:
    """A rendered tree may be rendered into text again and again."""
    tree = render(parsed("SELECT sum(orders) FILTER (WHERE active) AS s FROM customers"), FixedCatalog(TABLES))
    assert to_sql(tree) == to_sql(tree.copy()) == to_sql(tree)
