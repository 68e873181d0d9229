"""PIVOT as one filtered aggregate per value, UNPIVOT as one row per column."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering import operators
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.scope import Column, Relation, Scope, told_apart
from hanse.sql.rendering.templates import cast_to, duck, identifier, text
from hanse.sql.rendering.types import NULL, STRING, array, common_types
from hanse.sql.rendering.values import Value, misfit, settle, unsupported
from hanse.sql.rendering.windows import apply_filter

__all__ = ["render_pivot"]

Bind = Callable[[exp.Expr, Scope], Value]
_ARGS = frozenset({"this", "alias", "expressions", "fields", "unpivot", "columns", "include_nulls",
                   "pivot_column_naming"})  # fmt: skip


def render_pivot(
    pivot: exp.Pivot, sql: exp.Expr, relation: Relation, scope: Scope, bind: Bind
) -> tuple[exp.Expr, Relation]:
    """A relation, pivoted or unpivoted."""
    for name, value in pivot.args.items():
        if value not in (None, False, [], "") and name not in _ARGS:
            raise unsupported(pivot, f"{name.upper()} in PIVOT")
    if len(pivot.args["fields"]) != 1 or not isinstance(pivot.args["fields"][0], exp.In):
        raise unsupported(pivot, "this form of PIVOT", "write PIVOT (sum(x) FOR column IN (values))")
    name = pivot.alias or scope.fresh_name("pivot")
    build = _unpivot if pivot.args.get("unpivot") else _pivot
    tree, columns = build(pivot, sql, relation, scope, bind)
    names = [column.name for column in pivot.args["alias"].args.get("columns") or ()] if pivot.args.get("alias") else []
    if names:
        raise unsupported(pivot, "column names in PIVOT's alias", "name them in IN (...)")
    apart = told_apart(columns)
    keys = [identifier(column.key) for column in apart] if apart != columns else None
    return exp.Subquery(this=tree, alias=exp.TableAlias(this=identifier(name), columns=keys)), Relation(name, apart)


def _pivot(
    pivot: exp.Pivot, sql: exp.Expr, relation: Relation, scope: Scope, bind: Bind
) -> tuple[exp.Select, tuple[Column, ...]]:
    inner = Scope(scope.environment, scope.parent, [relation], clause="PIVOT")
    field = pivot.args["fields"][0]
    keys = [
        settle(bind(key, inner))
        for key in (field.this.expressions if isinstance(field.this, exp.Tuple) else [field.this])
    ]
    used = {column.name.lower() for column in field.this.find_all(exp.Column)}
    for aggregate in pivot.expressions:
        used |= {column.parts[0].name.lower() for column in aggregate.find_all(exp.Column)}
    groups = [column for column in relation.columns if column.name.lower() not in used]
    output = [(column.name, relation.value(column)) for column in groups]
    several = len(pivot.expressions) > 1
    for item in field.expressions:
        label, test = _choice(item, keys, inner, bind)
        for aggregate in pivot.expressions:
            output.append(_cell(aggregate, label, test, several, inner, bind))
    tree = exp.Select(expressions=[exp.Alias(this=value.sql, alias=identifier(name)) for name, value in output])
    tree.set("from_", exp.From(this=sql))
    if groups:
        tree.set("group", exp.Group(expressions=[relation.value(column).sql for column in groups]))
    return tree, tuple(Column(name, value.type) for name, value in output)


def _choice(item: exp.Expr, keys: list[Value], scope: Scope, bind: Bind) -> tuple[str, exp.Expr]:
    alias = item.args["alias"].name if isinstance(item, (exp.PivotAlias, exp.Alias)) else ""
    given = item.this if alias else item
    parts = given.expressions if isinstance(given, exp.Tuple) else [given]
    if len(parts) != len(keys):
        raise misfit(item, f"{len(parts)} values for {len(keys)} columns in PIVOT", "give as many")
    values = [settle(bind(part, scope)) for part in parts]
    tests = [
        operators.compare(exp.NullSafeEQ if value.type == NULL else exp.EQ, key, value, item).sql
        for key, value in zip(keys, values, strict=True)
    ]
    test = tests[0]
    for other in tests[1:]:
        test = exp.And(this=test, expression=other)
    shown = [
        value.literal if value.literal is not None else part.sql(dialect="spark", comments=False)
        for value, part in zip(values, parts, strict=True)
    ]
    return alias or (shown[0] if len(shown) == 1 else "{" + ", ".join(shown) + "}"), test


def _cell(
    aggregate: exp.Expr, label: str, test: exp.Expr, several: bool, scope: Scope, bind: Bind
) -> tuple[str, Value]:
    alias = aggregate.alias if isinstance(aggregate, exp.Alias) else ""
    node = aggregate.this if alias else aggregate
    scope.aggregates_allowed, scope.aggregated = True, False
    value = settle(bind(node, scope))
    if not scope.aggregated:
        raise misfit(aggregate, "PIVOT without an aggregate", "write sum(x), count(*) ...")
    name = label
    if several:
        name = f"{label}_{alias or node.sql(dialect='spark', normalize_functions=False, comments=False)}"
    cell = apply_filter(value.sql, test)
    present = duck("CASE WHEN bool_or({0}) THEN {1} END", test, cell)
    return name, Value(present, value.type)


def _unpivot(
    pivot: exp.Pivot, sql: exp.Expr, relation: Relation, scope: Scope, bind: Bind
) -> tuple[exp.Select, tuple[Column, ...]]:
    inner = Scope(scope.environment, scope.parent, [relation], clause="UNPIVOT")
    field = pivot.args["fields"][0]
    if len(pivot.expressions) != 1 or isinstance(pivot.expressions[0], exp.Tuple):
        raise unsupported(pivot, "UNPIVOT of several values at once", "unpivot one after the other")
    values, labels, used = [], [], set()
    for item in field.expressions:
        column = item.this if isinstance(item, (exp.PivotAlias, exp.Alias)) else item
        values.append(settle(bind(column, inner)))
        used.add(column.name.lower())
        label = item.args["alias"].name if isinstance(item, (exp.PivotAlias, exp.Alias)) else column.name
        labels.append(text(label))
    type_ = common_types([value.type for value in values])
    if type_ is None:
        raise misfit(pivot, "UNPIVOT of columns of different types", "cast them to one type")
    cells = exp.Array(expressions=[coerce(value, type_, pivot).sql for value in values])
    kept = [column for column in relation.columns if column.name.lower() not in used]
    name, cell = field.this.name, pivot.expressions[0].name
    projections: list[exp.Expr] = [exp.Alias(this=relation.value(c).sql, alias=identifier(c.name)) for c in kept]
    labelled = cast_to(exp.Array(expressions=labels), array(STRING))
    projections.append(exp.Alias(this=duck("unnest({0})", labelled), alias=identifier(name)))
    projections.append(exp.Alias(this=duck("unnest({0})", cast_to(cells, array(type_))), alias=identifier(cell)))
    tree = exp.Select(expressions=projections)
    tree.set("from_", exp.From(this=sql))
    columns = (*(Column(c.name, c.type) for c in kept), Column(name, STRING), Column(cell, type_))
    if not pivot.args.get("include_nulls"):
        apart = told_apart(columns)
        column_sql = exp.Column(this=identifier(apart[-1].key), table=exp.to_identifier("_u"))
        keys = [identifier(column.key) for column in apart] if apart != columns else None
        alias = exp.TableAlias(this=exp.to_identifier("_u"), columns=keys)
        tree = exp.Select(expressions=[exp.Star()]).from_(exp.Subquery(this=tree, alias=alias))
        tree.set("where", exp.Where(this=duck("{0} IS NOT NULL", column_sql)))
    return tree, columns
