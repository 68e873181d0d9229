"""Spark SQL, rendered for Spark, gives on Spark with ANSI mode on what it gives as written with ANSI mode off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make_expected_rows import encoded

from hanse.sql.render import render, to_sql

from .render_support import FIXTURES, FixedCatalog, parsed
from .test_render_rows import EXPECTED, STATEMENTS, close, kind_of

TABLES = json.loads((FIXTURES / "rows_tables.json").read_text())
CATALOG = FixedCatalog({name: table["duckdb"] for name, table in TABLES.items()})
WITHOUT_ANSI = sorted(STATEMENTS)[::20]


@pytest.fixture(scope="module")
def tables(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The fixture's tables as views; queries are interpreted, for compiling each takes longer than running it."""
    folder: Path = tmp_path_factory.mktemp("tables")
    quick = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    for key, value in quick.items():
        spark.conf.set(key, value)
    for name, table in TABLES.items():
        path = folder / f"{name}.json"
        path.write_text("\n".join(json.dumps(row) for row in table["rows"]))
        frame = spark.read.schema(table["spark"]).option("timestampFormat", "yyyy-MM-dd HH:mm:ss").json(str(path))
        frame.coalesce(1).createOrReplaceTempView(name)
    yield spark
    for name in TABLES:
        spark.catalog.dropTempView(name)
    for key in quick:
        spark.conf.unset(key)


@pytest.mark.parametrize(
    ("title", "ansi"), [*((title, "true") for title in STATEMENTS), *((title, "false") for title in WITHOUT_ANSI)]
)
def test_rows(title: str, ansi: str, tables: Any) -> None:
    tree = parsed(STATEMENTS[title])
    sql = to_sql(render(tree, CATALOG, "spark"), "spark")
    tables.conf.set("spark.sql.ansi.enabled", ansi)
    try:
        frame = tables.sql(sql)
        rows = [encoded(row) for row in map(tuple, frame.collect())]
    finally:
        tables.conf.unset("spark.sql.ansi.enabled")
    expected = EXPECTED[title]
    theirs = expected["rows"]
    if tree.args.get("order") is None:
        rows, theirs = sorted(rows, key=json.dumps), sorted(theirs, key=json.dumps)
    assert len(rows) == len(theirs), f"{sql}\n{rows}\n{theirs}"
    for mine, wanted in zip(rows, theirs, strict=True):
        assert close(mine, wanted), f"{sql}\n{list(zip(frame.columns, mine, wanted, strict=True))}"
    assert frame.columns == expected["columns"], sql
    assert [kind_of(kind) for _, kind in frame.dtypes] == [kind_of(kind) for kind in expected["types"]], sql


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("x + 1", "x + 1"),
        ("-(x + 1) * 2", "x + 1"),
        ("x * 2 - x", "x * 2 - x"),
        ("sum(x)", "sum(x)"),
        ("sum(x) OVER (ORDER BY y)", "sum(x)"),
        ("-y", "-y"),
        ("cast(2147483647 AS int) + cast(1 AS int)", "CAST(2147483647 AS INT) + CAST(1 AS INT)"),
    ],
)
def test_an_integer_that_overflows_stops_the_query(spark: Any, expression: str, shown: str) -> None:
    rows = "VALUES (9223372036854775807, -9223372036854775807 - 1), (1, 0)"
    sql = f"SELECT {expression} AS z FROM {rows} t(x, y)"
    with pytest.raises(Exception, match="hanse: integer overflow in") as caught:
        spark.sql(to_sql(render(parsed(sql), CATALOG, "spark"), "spark")).collect()
    assert shown in str(caught.value)


def test_what_is_null_does_not_overflow(spark: Any) -> None:
    sql = "SELECT x + y + 1 AS a, sum(x) OVER () AS b, -x AS c FROM VALUES (CAST(NULL AS BIGINT), 1) t(x, y)"
    (row,) = spark.sql(to_sql(render(parsed(sql), CATALOG, "spark"), "spark")).collect()
    assert tuple(row) == (None, None, None)
