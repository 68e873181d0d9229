"""Functions of arrays that take a lambda: transform, filter, exists, forall, aggregate, zip_with."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function
from hanse.sql.rendering.casts import coerce, to_boolean
from hanse.sql.rendering.templates import as_filter, cast_to, duck, duck_once, once
from hanse.sql.rendering.types import BOOLEAN, INT, NULL, Type, array, common_type, struct
from hanse.sql.rendering.values import Value, misfit

__all__ = ["LAMBDAS"]


def _transform(call: Call) -> Value:
    base = call.array(0)
    body, value = call.function(1, [base.type.element, INT], optional=1)
    if len(body.expressions) == 2:
        body = _shift_index(body)
    if value.type == NULL:
        value = value.with_type(INT)
    return Value(duck("list_transform({0}, {1})", base.sql, body), array(value.type))


def _shift_index(body: exp.Lambda) -> exp.Lambda:
    """DuckDB counts from 1, Spark from 0."""
    index = body.expressions[1].name
    inner = body.this.copy()
    holder = exp.Paren(this=inner)
    for column in list(holder.find_all(exp.Column)):
        if column.name == index and not column.table:
            column.replace(duck("CAST({0} - 1 AS INTEGER)", column))
    return exp.Lambda(this=holder.this, expressions=body.expressions)


def _filter(call: Call) -> Value:
    base = call.array(0)
    body, value = call.function(1, [base.type.element, INT], optional=1)
    to_boolean(value, call.nodes[1], "the lambda of filter")
    if len(body.expressions) == 2:
        body = _shift_index(body)
    return Value(duck("list_filter({0}, {1})", base.sql, body), base.type)


def _exists(call: Call) -> Value:
    """TRUE, else NULL where a test was NULL, else FALSE."""
    base = call.array(0)
    body, value = call.function(1, [base.type.element])
    to_boolean(value, call.nodes[1], "the lambda of exists")
    tests = duck("list_transform({0}, {1})", base.sql, body)
    found = duck("list_contains({0}, TRUE)", tests)
    template = (
        "CASE WHEN {2} THEN TRUE "
        "WHEN {0} IS NOT NULL AND len(list_filter({1}, lambda _t: _t IS NULL)) = 0 THEN FALSE END"
    )
    return Value(as_filter(duck(template, base.sql, tests, found), found), BOOLEAN)


def _forall(call: Call) -> Value:
    base = call.array(0)
    body, value = call.function(1, [base.type.element])
    to_boolean(value, call.nodes[1], "the lambda of forall")
    tests = duck("list_transform({0}, {1})", base.sql, body)
    sql = duck("CASE WHEN {0} IS NOT NULL THEN CASE WHEN list_contains({1}, FALSE) THEN FALSE "
               "WHEN len(list_filter({1}, lambda _t: _t IS NULL)) > 0 THEN NULL ELSE TRUE END END",
               base.sql, tests)  # fmt: skip
    return Value(sql, BOOLEAN)


def _aggregate(call: Call) -> Value:
    base, start = call.array(0), call.value(1)
    type_ = start.type if start.type != NULL else base.type.element
    body, value = call.function(2, [type_, base.type.element])
    if common_type(type_, value.type) not in (type_, None) and type_.is_numeric:
        raise misfit(call.nodes[1], f"aggregate from {type_} to {value.type}", f"start with CAST(... AS {value.type})")
    merged = coerce(value, type_, call.nodes[2])
    body = exp.Lambda(this=merged.sql, expressions=body.expressions)
    sql: exp.Expr = _reduce(base, coerce(start, type_, call.node), body, type_)
    if len(call) == 4:
        finish, result = call.function(3, [type_])
        one = duck("list_transform([{0}], {1})", sql, finish)
        null_safe = duck("CASE WHEN {0} IS NOT NULL THEN list_extract({1}, 1) END", base.sql, one)
        return Value(null_safe, result.type)
    return Value(sql, type_)


def _reduce(base: Value, start: Value, body: exp.Lambda, type_: Type) -> exp.Expr:
    """list_reduce wants one type for the sum and the elements: so the elements travel in structs with the sum."""
    if base.type.element == type_:
        return duck("list_reduce({0}, {1}, {2})", base.sql, body, start.sql)
    total, item = (variable.name for variable in body.expressions)
    inner = exp.Paren(this=body.this.copy())
    for column in list(inner.find_all(exp.Column)):
        if column.table:
            continue
        if column.name == total:
            column.replace(duck("struct_extract({0}, 's')", exp.column("_l")))
        elif column.name == item:
            column.replace(duck("struct_extract({0}, 'x')", exp.column("_r")))
    pair = struct(["s", "x"], [type_, base.type.element])
    made = cast_to(_pair(inner.this, exp.Null()), pair)
    step = exp.Lambda(this=made, expressions=[exp.to_identifier("_l"), exp.to_identifier("_r")])
    wrap = cast_to(_pair(exp.Null(), exp.column("_e")), pair)
    items = duck("list_transform({0}, {1})", base.sql, exp.Lambda(this=wrap, expressions=[exp.to_identifier("_e")]))
    first = cast_to(_pair(start.sql.copy(), exp.Null()), pair)
    return duck("struct_extract(list_reduce({0}, {1}, {2}), 's')", items, step, first)


def _pair(total: exp.Expr, item: exp.Expr) -> exp.Struct:
    named = {"s": total, "x": item}
    return exp.Struct(
        expressions=[exp.PropertyEQ(this=exp.to_identifier(k, quoted=True), expression=v) for k, v in named.items()]
    )


def _zip_with(call: Call) -> Value:
    left, right = call.array(0), call.array(1)
    body, value = call.function(2, [left.type.element, right.type.element])
    first, second = (variable.name for variable in body.expressions)
    inner = exp.Paren(this=body.this.copy())
    positions = {first: once(0, left.sql), second: once(1, right.sql)}
    for column in list(inner.find_all(exp.Column)):
        if not column.table and column.name in positions:
            column.replace(duck("list_extract({0}, _z)", positions[column.name]))
    step = exp.Lambda(this=inner.this, expressions=[exp.to_identifier("_z")])
    zipped = "list_transform(range(1, greatest(len({0}), len({1})) + 1), {2})"
    template = f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {zipped} END"
    sql = duck_once(template, left.sql, right.sql, step)
    return Value(sql, array(value.type))


LAMBDAS: dict[str, Function] = {
    "transform": Function(2, 2, _transform),
    "filter": Function(2, 2, _filter),
    "exists": Function(2, 2, _exists),
    "forall": Function(2, 2, _forall),
    "aggregate": Function(3, 4, _aggregate),
    "reduce": Function(3, 4, _aggregate),
    "zip_with": Function(3, 3, _zip_with),
}
