"""What cannot be rendered is refused by name, with line and column; nothing is dropped (invalid_render.sql)."""

from __future__ import annotations

import json

import pytest
from sqlglot import exp

from hanse import errors
from hanse.errors import SqlError, UnsupportedError
from hanse.sql.render import render, to_sql
from hanse.sql.rendering.aggregates import AGGREGATES
from hanse.sql.rendering.expressions import HANDLERS
from hanse.sql.rendering.functions import FUNCTIONS
from hanse.sql.rendering.refusals import REFUSALS
from hanse.sql.rendering.window_functions import WINDOW_FUNCTIONS

from .render_support import FIXTURES, FixedCatalog, parsed, statements

INVALID = dict(statements((FIXTURES / "invalid_render.sql").read_text()))
CATALOG = FixedCatalog(
    {name: table["duckdb"] for name, table in json.loads((FIXTURES / "rows_tables.json").read_text()).items()}
)


@pytest.mark.parametrize("title", INVALID)
def test_error(title: str) -> None:
    header, sql = INVALID[title].split("\n", 1)
    _, _, class_, place, message = header.split(" ", 4)
    with pytest.raises(SqlError) as caught:
        to_sql(render(parsed(sql), CATALOG))
    error = caught.value
    assert type(error) is getattr(errors, class_), error
    assert error.position is not None
    assert f"{error.position.line}:{error.position.column}" == place, error
    shown = error.what + (f": {error.cure}" if error.cure else "")
    assert message in shown


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_function_that_is_refused(name: str) -> None:
    if name in FUNCTIONS and FUNCTIONS[name] is not REFUSALS[name]:
        pytest.fail(f"{name} is refused and rendered")
    with pytest.raises(UnsupportedError, match=f"function {name} at line 1, column 8: "):
        render(parsed(f"SELECT {name}(1)"), CATALOG)


def test_no_function_is_two_things() -> None:
    assert not set(FUNCTIONS) & set(AGGREGATES)
    assert not set(FUNCTIONS) & set(WINDOW_FUNCTIONS)


def test_a_node_that_no_one_handles_is_refused() -> None:
    tree = parsed("SELECT 1 AS a")
    for class_ in (exp.JSONExtract, exp.Collate, exp.Overlaps, exp.SimilarTo, exp.Kwarg, exp.Slice):
        assert class_ not in HANDLERS
        tree.set("expressions", [class_(this=exp.Literal.number(1), expression=exp.Literal.number(2))])
        with pytest.raises(UnsupportedError):
            render(tree, CATALOG)


@pytest.mark.parametrize(
    ("class_", "argument"),
    [(exp.Cast, "format"), (exp.In, "is_global"), (exp.Between, "symmetric"), (exp.Filter, "unknown"), (exp.Case, "x")],
)
def test_an_argument_that_no_one_handles_is_refused(class_: type[exp.Expr], argument: str) -> None:
    tree = parsed(
        "SELECT CAST(1 AS INT), 1 IN (2), 1 BETWEEN 2 AND 3, sum(1) FILTER (WHERE true), CASE WHEN true THEN 1 END"
    )
    node = next(
        node for node in tree.walk() if isinstance(node, (class_, exp.TryCast) if class_ is exp.Cast else class_)
    )
    node.set(argument, exp.Literal.string("x"))
    with pytest.raises(UnsupportedError, match=argument.upper().replace("_", " ")):
        render(tree, CATALOG)


RENDERED = {"with_", "expressions", "distinct", "from_", "laterals", "joins", "where", "group", "having", "qualify"}
RENDERED |= {"windows", "order", "limit", "offset"}


@pytest.mark.parametrize("clause", sorted(set(exp.Select.arg_types) - RENDERED))
def test_a_clause_that_no_one_handles_is_refused(clause: str) -> None:
    tree = parsed("SELECT customer_id FROM customers")
    tree.set(clause, exp.Var(this="x"))
    with pytest.raises(UnsupportedError):
        render(tree, CATALOG)


@pytest.mark.parametrize("clause", sorted(set(exp.Union.arg_types) - RENDERED - {"this", "expression"}))
def test_a_clause_of_a_union_that_no_one_handles_is_refused(clause: str) -> None:
    tree = parsed("SELECT customer_id FROM customers UNION SELECT 'x'")
    tree.set(clause, exp.Var(this="x"))
    with pytest.raises(UnsupportedError):
        render(tree, CATALOG)


@pytest.mark.parametrize(
    "argument", sorted(set(exp.Table.arg_types) - {"this", "db", "catalog", "alias", "joins", "laterals"})
)
def test_an_argument_of_a_table_that_no_one_handles_is_refused(argument: str) -> None:
    tree = parsed("SELECT customer_id FROM customers")
    listed = argument == "pivots"
    table = tree.find(exp.Table)
    assert table is not None
    table.set(argument, [exp.Pivot(fields=[], expressions=[])] if listed else exp.Var(this="x"))
    with pytest.raises(UnsupportedError):
        render(tree, CATALOG)


def test_another_dialect() -> None:
    with pytest.raises(UnsupportedError, match="dialect 'postgres'"):
        render(parsed("SELECT 1"), CATALOG, dialect="postgres")


def test_the_tree_stays_as_it_is() -> None:
    tree = parsed("SELECT store_id AS s, sum(orders) FROM customers WHERE exists(array(1), x -> x > 0) GROUP BY s")
    before = repr(tree)
    render(tree, CATALOG)
    assert repr(tree) == before


def test_a_hint_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"(?i)the hint broadcast\(c\) at line 1, .*remove it"):
        render(parsed("SELECT /*+ BROADCAST(c) */ * FROM customers c"), CATALOG)
