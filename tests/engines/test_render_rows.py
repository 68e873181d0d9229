"""Spark SQL, rendered and run on DuckDB, gives the rows that Spark gives (rows.sql, rows.expected.json)."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from hanse.errors import UnsupportedError
from hanse.sql.render import render, to_sql
from hanse.sql.rendering.aggregates import AGGREGATES
from hanse.sql.rendering.functions import FUNCTIONS
from hanse.sql.rendering.types import Type, parse_type
from hanse.sql.rendering.window_functions import WINDOW_FUNCTIONS

from .render_support import FIXTURES, DuckCatalog, FixedCatalog, parsed, statements

EXPECTED = json.loads((FIXTURES / "rows.expected.json").read_text())
STATEMENTS = dict(statements((FIXTURES / "rows.sql").read_text()))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("tables")
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        for name, table in json.loads((FIXTURES / "rows_tables.json").read_text()).items():
            path = folder / f"{name}.json"
            path.write_text("\n".join(json.dumps(row) for row in table["rows"]))
            columns = (
                json.dumps(table["duckdb"]).replace("'", "''").replace('\\"', "@").replace('"', "'").replace("@", '"')
            )
            opened.execute(f"CREATE TABLE {name} AS FROM read_json('{path}', columns = {columns}, format = 'nd')")
        yield opened


def encoded(value: Any, type_: Type) -> Any:
    """A value of DuckDB's as make_expected_rows.py writes Spark's."""
    if value is None:
        return None
    if type_.kind == "array":
        return [encoded(item, type_.element) for item in value]
    if type_.kind == "struct":
        return [encoded(value[name], inner) for name, inner in zip(type_.names, type_.args, strict=True)]
    if type_.kind == "map":
        pairs = zip(value["key"], value["value"], strict=True) if set(value) == {"key", "value"} else value.items()
        return sorted(([encoded(k, type_.args[0]), encoded(v, type_.args[1])] for k, v in pairs), key=json.dumps)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return value


def close(mine: Any, theirs: Any) -> bool:
    """Equal, doubles to 1e-12 relative."""
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(close, mine, theirs))
    if isinstance(mine, float) and isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        return math.isclose(mine, theirs, rel_tol=1e-12, abs_tol=1e-15)
    return type(mine) is type(theirs) and bool(mine == theirs)


def kind_of(spark: str) -> str:
    """Spark's simple name of a type, without what the engines may differ in: precision, nullability, interval kinds."""
    spark = re.sub(r"interval [a-z ]+", "interval", spark)
    return re.sub(
        r"decimal\((\d+),(\d+)\)", r"decimal(_,\2)", spark.replace("array<void>", "array<int>").replace("void", "null")
    )


def simple_name(type_: Type) -> str:
    """A type as Spark's simpleString writes it."""
    if type_.kind == "decimal":
        return f"decimal(_,{type_.scale})"
    if type_.kind == "struct":
        return f"struct<{','.join(f'{n}:{simple_name(t)}' for n, t in zip(type_.names, type_.args, strict=True))}>"
    if type_.is_nested:
        return f"{type_.kind}<{','.join(simple_name(t) for t in type_.args)}>"
    return type_.kind


def test_every_statement_has_expected_rows() -> None:
    assert set(STATEMENTS) == set(EXPECTED)
    assert len(STATEMENTS) >= 120


@pytest.mark.parametrize("title", STATEMENTS)
def test_rows(title: str, connection: duckdb.DuckDBPyConnection) -> None:
    tree = parsed(STATEMENTS[title])
    sql = to_sql(render(tree, DuckCatalog(connection)))
    relation = connection.sql(sql)
    types = [parse_type(str(type_)) for type_ in relation.types]
    rows = [[encoded(value, type_) for value, type_ in zip(row, types, strict=True)] for row in relation.fetchall()]
    expected = EXPECTED[title]
    theirs = expected["rows"]
    if tree.args.get("order") is None:
        rows, theirs = sorted(rows, key=json.dumps), sorted(theirs, key=json.dumps)
    assert len(rows) == len(theirs), f"{sql}\n{rows}\n{theirs}"
    for mine, wanted in zip(rows, theirs, strict=True):
        assert close(mine, wanted), f"{sql}\n{list(zip(relation.columns, mine, wanted, strict=True))}"
    assert relation.columns == expected["columns"], sql
    assert [simple_name(type_) for type_ in types] == [kind_of(t) for t in expected["types"]], sql


def test_every_function_is_checked_against_spark() -> None:
    """A function is in rows.sql, or refused by name."""
    text = (FIXTURES / "rows.sql").read_text().lower()
    called = set(re.findall(r"\b([a-z_0-9]+)\s*\(", text)) | set(re.findall(r"\b(current_\w+)\b", text))
    for name in sorted({*FUNCTIONS, *AGGREGATES, *WINDOW_FUNCTIONS} - called):
        function = FUNCTIONS.get(name) or AGGREGATES.get(name) or WINDOW_FUNCTIONS[name]
        aliases = [key for key, other in {**FUNCTIONS, **AGGREGATES}.items() if other is function and key in called]
        if not aliases:
            with pytest.raises(UnsupportedError, match=f"function {name}"):
                render(parsed(f"SELECT {name}(1)"), FixedCatalog({}))
