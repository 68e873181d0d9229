"""The SQL vocabulary of models: what it writes means the same on the engine as in Python, to the last bit."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse_one

from hanse import expressions as e
from hanse.engines.duckdb import DuckDB

finite = st.floats(allow_nan=False, allow_infinity=False)
modest = st.floats(-1e100, 1e100)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    opened = DuckDB(threads=1)
    yield opened
    opened.close()


def value(engine: DuckDB, expression: e.Expression, **columns: Any) -> Any:
    """What the engine makes of an expression over one row."""
    listed = ", ".join(f"{engine.text(column)} AS {e.quote(name)}" for name, column in columns.items()) or "1 AS one"
    ((found,),) = engine.rows(f"SELECT {engine.text(expression)} FROM (SELECT {listed})")
    return found


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


@given(finite)
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
@example(0.1)
@example(1e22)
@example(1.7e9)
@settings(max_examples=200, deadline=None)
def test_numbers_survive_to_the_last_bit(engine: DuckDB, number: float) -> None:
    found = value(engine, e.number(number))
    assert isinstance(found, float)
    assert bits(found) == bits(number)


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
@pytest.mark.parametrize("number", [1.5, 100.0, -3.0, 1e300])
def test_numbers_are_written_as_doubles(number: float, dialect: str) -> None:
    assert "e" in e.number(number).sql(dialect=dialect).lower()  # without an exponent they would be DECIMAL


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_place_in_sql(number: float) -> None:
    with pytest.raises(ValueError, match="cannot stand in SQL"):
        e.number(number)


@given(st.integers(-(2**31) + 1, 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_integers_are_integers(engine: DuckDB, number: int) -> None:
    assert value(engine, e.integer(number)) == number


@pytest.mark.parametrize("name", ["a", "A b", 'quo"te', "select", "größe", "名前", "a.b", "a;--", "'"])
def test_any_name_is_a_column(engine: DuckDB, name: str) -> None:
    assert value(engine, e.column(name), **{name: e.number(2.5)}) == 2.5
    assert value(engine, e.square(e.column(name)), **{name: e.number(2.5)}) == 6.25


@given(a=modest, b=modest, c=modest)
@settings(max_examples=60, deadline=None)
def test_arithmetic_keeps_its_grouping(engine: DuckDB, a: float, b: float, c: float) -> None:
    x, y, z = (e.column(name) for name in "xyz")
    row = {"x": e.number(a), "y": e.number(b), "z": e.number(c)}
    cases = {
        a - (b - c): e.subtract(x, e.subtract(y, z)),
        (a - b) - c: e.subtract(e.subtract(x, y), z),
        a * (b + c): e.multiply(x, e.add(y, z)),
        (a + b) * (c - a): e.multiply(e.add(x, y), e.subtract(z, x)),
        -(a + b): e.negative(e.add(x, y)),
        a - (-b): e.subtract(x, e.negative(y)),
        (a + b) + c: e.total([x, y, z]),
    }
    for expected, expression in cases.items():
        assert value(engine, expression, **row) == expected


def test_division_keeps_its_grouping(engine: DuckDB) -> None:
    row = {"x": e.number(7.0), "y": e.number(2.0), "z": e.number(4.0)}
    x, y, z = (e.column(name) for name in "xyz")
    assert value(engine, e.divide(x, e.divide(y, z)), **row) == 14.0
    assert value(engine, e.divide(e.subtract(x, y), z), **row) == 1.25
    assert value(engine, e.divide(e.integer(7), e.number(2.0))) == 3.5


def test_dot_leaves_weights_of_zero_out(engine: DuckDB) -> None:
    row = {"x": e.number(3.0), "y": e.number(5.0)}
    x, y = e.column("x"), e.column("y")
    assert value(engine, e.dot([2.0, -1.0], [x, y]), **row) == 1.0
    assert value(engine, e.dot([0.0, 2.0], [x, y]), **row) == 10.0
    assert value(engine, e.dot([0.0, 0.0], [x, y]), **row) == 0.0
    with pytest.raises(ValueError, match="zip"):
        e.dot([1.0], [x, y])


def test_functions(engine: DuckDB) -> None:
    row = {"x": e.number(-2.5), "y": e.number(4.0)}
    x, y = e.column("x"), e.column("y")
    assert value(engine, e.absolute(x), **row) == 2.5
    assert value(engine, e.root(y), **row) == 2.0
    assert value(engine, e.floor(x), **row) == -3.0
    assert value(engine, e.log1p_abs(x), **row) == pytest.approx(math.log1p(2.5), rel=1e-15)
    assert value(engine, e.least([x, y]), **row) == -2.5
    assert value(engine, e.greatest([x, y]), **row) == 4.0
    assert value(engine, e.least([x]), **row) == -2.5
    assert [value(engine, e.clamp(x, low, high), **row) for low, high in ((-1, 1), (-9, -3), (-9, 9))] == [-1, -3, -2.5]
    assert value(engine, e.case([], None)) is None
    assert value(engine, e.case([e.when(e.at_least(x, y), e.integer(1))], e.integer(2)), **row) == 2
    assert value(engine, e.string("it's ; -- 'quoted'")) == "it's ; -- 'quoted'"


@pytest.mark.parametrize(
    ("number", "finite_one"),
    [
        ("1.5", True),
        ("NULL::DOUBLE", None),
        ("'nan'::DOUBLE", False),
        ("'inf'::DOUBLE", False),
        ("'-inf'::DOUBLE", False),
    ],
)
def test_what_counts_as_a_number(engine: DuckDB, number: str, finite_one: bool | None) -> None:
    x = e.column("x")
    row = {"x": e.raw(number)}
    good = finite_one is True
    assert value(engine, e.is_number(x), **row) is finite_one
    assert value(engine, e.bad_count(x), **row) == (0.0 if good else 1.0)
    assert value(engine, e.known(x, e.number(7.0)), **row) == (7.0 if good else None)
    assert value(engine, e.guarded([e.number(1.0), x], e.string("fine"), e.string("bad")), **row) == (
        "fine" if good else "bad"
    )


def test_expressions_are_not_shared(engine: DuckDB) -> None:
    """Sqlglot's nodes know one parent: a node used twice must be copied."""
    x = e.column("x")
    twice = e.add(e.square(x), e.square(x.copy()))
    assert engine.text(twice) == '"x" * "x" + ("x" * "x")'


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
@given(name=st.text(min_size=1).filter(lambda name: "\0" not in name), number=finite)
@example(name='a"b`c', number=-0.0)
@settings(max_examples=100, deadline=None)
def test_what_is_written_quickly_is_what_sqlglot_writes(dialect: str, name: str, number: float) -> None:
    def values() -> dict[str, e.Expression]:
        x = e.multiply(e.column("x"), e.number(number))
        return {name: e.square(e.column(name)), "text": e.string(name), "n": x}

    def sums(relation: e.Expression) -> e.Expression:
        return e.select(relation, {name: e.group_of("sum", e.column(name))}, [e.column("n")])

    layer = e.derived(exp.select("*", *(exp.alias_(v, k, quoted=True) for k, v in values().items())).from_("t"))
    assert e.written(sums(e.select_over("t", values())), dialect) == sums(layer).sql(dialect=dialect, comments=False)


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
@given(name=st.text(min_size=1).filter(lambda name: "\0" not in name), weights=st.lists(finite, max_size=4))
@example(name='a"b`c', weights=[-1.5, 0.0, 1e300, -1e-300])
@settings(max_examples=100, deadline=None)
def test_a_weighted_sum_is_what_sqlglot_writes_of_its_parts(dialect: str, name: str, weights: list[float]) -> None:
    values = [e.column(name), e.subtract(e.column("x"), e.number(1.0)), e.root(e.column("x")), e.column("x")]
    values = values[: len(weights)]
    parts = e.total(e.multiply(v.copy(), e.number(w)) for v, w in zip(values, weights, strict=True) if w)
    assert e.written(e.dot(weights, values), dialect) == parts.sql(dialect=dialect)
    twice = e.multiply(e.dot(weights, values), e.number(2.0))
    assert e.written(twice, dialect) == e.multiply(parts, e.number(2.0)).sql(dialect=dialect)


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
@pytest.mark.parametrize(
    "sql",
    [
        'SELECT a, "B", t.c AS d, t."e" "f", s.t.g FROM s.t AS t WHERE (a) AND NOT ("B")',
        "SELECT 'it''s' AS x, -1.5e0, (1 + (2)) * 3, CAST(a AS DOUBLE), (SELECT 1) AS y",
        "SELECT count(*) AS n FROM (SELECT DISTINCT a AS b FROM t) AS u (v) GROUP BY ALL",
    ],
)
def test_what_people_write_is_written_as_sqlglot_writes_it(sql: str, dialect: str) -> None:
    tree = parse_one(sql, dialect="duckdb")
    assert e.written(tree, dialect) == tree.sql(dialect=dialect, comments=False)


def test_a_compiled_sqlglot_is_refused_with_its_cure() -> None:
    code = (
        "import sys, sqlglot.generator; sqlglot.generator.Generator.generate = len; sys.argv[1:] = ['sql', 'SELECT 1'];"
        "from hanse.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: sqlglot is compiled here, and cannot be extended so: pip uninstall sqlglotc\n"
