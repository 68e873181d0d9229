"""Functions of arrays, and those that take a lambda."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function, refused
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.order import is_struct_array, sorted_structs
from hanse.sql.rendering.separators import joined
from hanse.sql.rendering.templates import cast_to, duck, duck_once
from hanse.sql.rendering.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    Type,
    array,
    common_type,
    comparison_type,
    struct,
)
from hanse.sql.rendering.values import Value, misfit, unsupported

__all__ = ["ARRAYS"]

Build = Callable[[Call], Value]


def _array(call: Call) -> Value:
    values, type_ = call.common()
    if type_ == NULL:
        return Value(
            cast_to(exp.Array(expressions=[v.sql for v in values]), array(INT)),
            array(INT if values else NULL),
        )
    return Value(exp.Array(expressions=[value.sql for value in values]), array(type_))


def _size(call: Call) -> Value:
    """With ANSI off, the size of NULL is -1."""
    value = call.value(0)
    if value.type == NULL:
        return Value(cast_to(exp.Null(), INT) if call.name == "array_size" else duck("-1"), INT)
    if value.type.kind not in ("array", "map"):
        raise misfit(call.node, f"{call.name} of a value of type {value.type}", "need an array or a map")
    count = "cardinality({0})" if value.type.kind == "map" else "len({0})"
    if call.name == "array_size":
        return Value(duck(f"CAST({count} AS INTEGER)", value.sql), INT)
    return Value(duck(f"CAST(coalesce({count}, -1) AS INTEGER)", value.sql), INT)


def _with_element(call: Call) -> tuple[Value, Value]:
    """An array and a value, in one type of element."""
    base, item = call.array(0), call.value(1)
    element: Type | None = (
        comparison_type(base.type.element, item.type) if item.type != base.type.element else item.type
    )
    wide = common_type(base.type.element, item.type)
    element = wide if wide is not None else element
    if element is None:
        raise misfit(call.node, f"{call.name} of {base.type} and {item.type}", "need a value like the elements")
    return coerce(base, array(element), call.node), coerce(item, element, call.node)


def _contains(call: Call) -> Value:
    """NULL where the array lacks the value but has a NULL, as in SQL's IN."""
    base, item = _with_element(call)
    sql = duck(
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL WHEN list_contains({0}, {1}) THEN TRUE "
        "WHEN len(list_filter({0}, lambda _e: _e IS NULL)) > 0 THEN NULL ELSE FALSE END",
        base.sql,
        item.sql,
    )
    return Value(sql, BOOLEAN)


def _position(call: Call) -> Value:
    base, item = _with_element(call)
    found = "CAST(coalesce(list_position({0}, {1}), 0) AS BIGINT)"
    sql = duck(f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {found} END", base.sql, item.sql)
    return Value(sql, BIGINT)


def _remove(call: Call) -> Value:
    base, item = _with_element(call)
    sql = duck_once(
        "CASE WHEN {1} IS NOT NULL THEN list_filter({0}, lambda _e: _e IS NULL OR _e <> {1}) END",
        base.sql,
        item.sql,
    )
    return Value(sql, base.type)


def _append(front: bool) -> Build:
    def build(call: Call) -> Value:
        base, item = _with_element(call)
        one = exp.Array(expressions=[item.sql])
        pair = (one, base.sql) if front else (base.sql, one)
        sql = duck("CASE WHEN {0} IS NOT NULL THEN list_concat({1}, {2}) END", base.sql, *pair)
        return Value(sql, base.type)

    return build


_DISTINCT = (
    "list_filter({0}, lambda _e, _i: CASE WHEN _e IS NULL THEN "
    "len(list_filter(list_slice({0}, 1, _i - 1), lambda _f: _f IS NULL)) = 0 "
    "ELSE NOT list_contains(list_slice({0}, 1, _i - 1), _e) END)"
)
"""Keeps the first of each, in order, as Spark does; DuckDB's list_distinct has neither order nor NULL."""


def _distinct(call: Call) -> Value:
    value = call.array(0)
    return Value(duck_once(_DISTINCT, value.sql), value.type)


def _two(call: Call) -> tuple[Value, Value, Type]:
    left, right = call.array(0), call.array(1)
    type_ = common_type(left.type, right.type)
    if type_ is None:
        raise misfit(call.node, f"{call.name} of {left.type} and {right.type}", "need arrays of one type")
    return coerce(left, type_, call.node), coerce(right, type_, call.node), type_


_HAS = "CASE WHEN _m IS NULL THEN len(list_filter({1}, lambda _n: _n IS NULL)) > 0 ELSE list_contains({1}, _m) END"


def _sets(template: str) -> Build:
    def build(call: Call) -> Value:
        left, right, type_ = _two(call)
        combined = duck_once(
            f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {template} END", left.sql, right.sql
        )
        return Value(duck_once(_DISTINCT, combined), type_)

    return build


def _overlap(call: Call) -> Value:
    left, right, _ = _two(call)
    sql = duck(
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL WHEN list_has_any({0}, {1}) THEN TRUE "
        "WHEN len({0}) > 0 AND len({1}) > 0 AND len(list_filter(list_concat({0}, {1}), lambda _e: _e IS NULL)) > 0 "
        "THEN NULL ELSE FALSE END",
        left.sql,
        right.sql,
    )
    return Value(sql, BOOLEAN)


def _slice(call: Call) -> Value:
    value, start, length = call.array(0), call.as_type(1, INT), call.as_type(2, INT)
    if start.integer == 0:
        raise misfit(call.nodes[1], "slice from 0", "elements are numbered from 1, or from -1 at the end")
    if start.integer is not None and start.integer > 0:
        sql = duck("list_slice({0}, {1}, {1} + {2} - 1)", value.sql, start.sql, length.sql)
    else:
        first = duck("CASE WHEN {1} < 0 THEN len({0}) + {1} + 1 ELSE {1} END", value.sql, start.sql)
        sql = duck("CASE WHEN {1} < 1 THEN list_slice({0}, 1, 0) ELSE list_slice({0}, {1}, {1} + {2} - 1) END",
                   value.sql, first, length.sql)  # fmt: skip
    return Value(sql, value.type)


def _element_at(call: Call) -> Value:
    """1-based; from the end where negative; NULL outside; for maps, by key."""
    base = call.value(0)
    if base.type.kind == "map":
        key = coerce(call.value(1), base.type.args[0], call.node)
        return Value(duck("map_extract_value({0}, {1})", base.sql, key.sql), base.type.args[1])
    base, index = call.array(0), call.as_type(1, INT)
    if index.integer == 0:
        raise misfit(call.nodes[1], "element_at 0", "elements are numbered from 1, or from -1 at the end")
    return Value(duck("list_extract({0}, {1})", base.sql, index.sql), base.type.element)


def _get(call: Call) -> Value:
    base, index = call.array(0), call.as_type(1, INT)
    sql = duck("CASE WHEN {1} >= 0 THEN list_extract({0}, {1} + 1) END", base.sql, index.sql)
    return Value(sql, base.type.element)


def _sort_array(call: Call) -> Value:
    """NULLs first when ascending, last when descending."""
    value = call.array(0)
    ascending = True
    if len(call) > 1:
        if not isinstance(call.nodes[1], exp.Boolean):
            raise unsupported(call.nodes[1], "sort_array with a computed direction", "write TRUE or FALSE")
        ascending = bool(call.nodes[1].this)
    order = "'ASC', 'NULLS FIRST'" if ascending else "'DESC', 'NULLS LAST'"
    if is_struct_array(value.type):
        return Value(sorted_structs(value, order, call.node), value.type)
    return Value(duck(f"list_sort({{0}}, {order})", value.sql), value.type)


def _array_sort(call: Call) -> Value:
    if len(call) > 1:
        raise unsupported(call.nodes[1], "array_sort with a lambda", "sort structs whose first field is the key")
    value = call.array(0)
    if is_struct_array(value.type):
        raise unsupported(call.node, f"array_sort of {value.type}", "use sort_array")
    return Value(duck("list_sort({0}, 'ASC', 'NULLS LAST')", value.sql), value.type)


def _extreme(name: str) -> Build:
    def build(call: Call) -> Value:
        value = call.array(0)
        if value.type.element.is_nested:
            raise unsupported(call.node, f"{call.name} of {value.type}", "use element_at(sort_array(...), ...)")
        return Value(duck(f"{name}({{0}})", value.sql), value.type.element)

    return build


def _join(call: Call) -> Value:
    value = coerce(call.array(0), array(STRING), call.node)
    separator = call.as_type(1, STRING).sql
    if len(call) > 2:
        missing = call.as_type(2, STRING).sql
        listed = duck_once("list_transform({0}, lambda _e: coalesce(_e, {1}))", value.sql, missing)
    else:
        listed = duck_once("list_filter({0}, lambda _e: _e IS NOT NULL)", value.sql)
    text = duck("array_to_string({0}, {1})", listed, separator)
    if call.as_type(1, STRING).literal is None:  # DuckDB wants its separator written out
        text = joined(listed, separator)
    known = [value.sql, separator, *(call.as_type(2, STRING).sql for _ in call.nodes[2:])]
    tests = exp.and_(*(duck("{0} IS NOT NULL", each) for each in known), wrap=False)
    return Value(duck("CASE WHEN {0} THEN coalesce({1}, '') END", tests, text), STRING)


def _flatten(call: Call) -> Value:
    value = call.array(0)
    if value.type.element.kind != "array":
        raise misfit(call.node, f"flatten of {value.type}", "need an array of arrays")
    sql = duck(
        "CASE WHEN len(list_filter({0}, lambda _e: _e IS NULL)) > 0 THEN NULL ELSE flatten({0}) END",
        value.sql,
    )
    return Value(sql, value.type.element)


def _repeat(call: Call) -> Value:
    value, count = call.value(0), call.as_type(1, INT)
    sql = duck_once("CASE WHEN {1} IS NOT NULL THEN list_transform(range(CAST({1} AS BIGINT)), lambda _e: {0}) END",
               value.sql, count.sql)  # fmt: skip
    return Value(sql, array(value.type))


def _compact(call: Call) -> Value:
    value = call.array(0)
    return Value(duck("list_filter({0}, lambda _e: _e IS NOT NULL)", value.sql), value.type)


def _sequence(call: Call) -> Value:
    start, stop = call.value(0), call.value(1)
    if start.type.kind in ("date", "timestamp") or stop.type.kind in ("date", "timestamp"):
        return _dates(call, start, stop)
    values, type_ = call.common()
    if not type_.is_integral:
        raise misfit(call.node, f"sequence of {type_}", "need integers, dates or timestamps")
    if len(values) == 2:
        step: exp.Expr = duck("CASE WHEN {0} <= {1} THEN 1 ELSE -1 END", *(value.sql for value in values))
    else:
        step = values[2].sql
    sql = duck("generate_series(CAST({0} AS BIGINT), CAST({1} AS BIGINT), CAST({2} AS BIGINT))",
               values[0].sql, values[1].sql, step)  # fmt: skip
    return Value(sql if type_ == BIGINT else cast_to(sql, array(type_)), array(type_))


_MONTHLY = (
    "list_filter(list_transform(range(0, 2 + abs(datediff('day', {0}, {1})) // "
    "greatest(1, abs(datediff('day', {0}, {0} + {2})) - 3)), lambda _i: {0} + {2} * _i), "
    "lambda _t: CASE WHEN {0} + {2} >= {0} THEN _t <= {1} ELSE _t >= {1} END)"
)
"""Each date is so many steps after the first: one step after the other would stay on the 29th after a February."""


def _dates(call: Call, start: Value, stop: Value) -> Value:
    type_ = DATE if start.type == stop.type == DATE else TIMESTAMP
    ends = start.sql, stop.sql
    step = call.value(2).sql if len(call) > 2 else duck("to_days(CASE WHEN {0} <= {1} THEN 1 ELSE -1 END)", *ends)
    if len(call) > 2 and not call.value(2).type.is_interval:
        raise misfit(call.nodes[2], "a step that is not an interval", "write INTERVAL 1 DAY")
    sides = coerce(start, TIMESTAMP, call.node).sql, coerce(stop, TIMESTAMP, call.node).sql
    if len(call) > 2 and call.value(2).type.kind != "interval_days":
        sql = duck_once(_MONTHLY, *sides, step)
    else:
        sql = duck("generate_series({0}, {1}, {2})", *sides, step)
    return Value(cast_to(sql, array(DATE)) if type_ == DATE else sql, array(type_))


def _arrays_zip(call: Call) -> Value:
    values = [call.array(index) for index in range(len(call))]
    if any(value.sql.find(exp.Lambda) is not None for value in values):
        raise unsupported(call.node, "arrays_zip of computed arrays", "name them in a subquery first")
    names = [node.name if isinstance(node, exp.Column) else str(i) for i, node in enumerate(call.nodes)]
    items = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=duck("list_extract({0}, _z)", value.sql))
        for name, value in zip(names, values, strict=True)
    ]
    lengths = [duck("len({0})", value.sql) for value in values]
    longest = exp.Anonymous(this="greatest", expressions=[*lengths, duck("0")])
    step = exp.Lambda(this=exp.Struct(expressions=items), expressions=[exp.to_identifier("_z")])
    sql = duck("list_transform(range(1, {0} + 1), {1})", longest, step)
    for value in values:
        sql = duck("CASE WHEN {0} IS NOT NULL THEN {1} END", value.sql, sql)
    return Value(sql, array(struct(names, [value.type.element for value in values])))


ARRAYS: dict[str, Function] = {
    "array": Function(0, 10000, _array),
    "size": Function(1, 1, _size),
    "cardinality": Function(1, 1, _size),
    "array_size": Function(1, 1, _size),
    "array_contains": Function(2, 2, _contains),
    "array_position": Function(2, 2, _position),
    "array_remove": Function(2, 2, _remove),
    "array_append": Function(2, 2, _append(False)),
    "array_prepend": Function(2, 2, _append(True)),
    "array_distinct": Function(1, 1, _distinct),
    "array_union": Function(2, 2, _sets("list_concat({0}, {1})")),
    "array_intersect": Function(2, 2, _sets(f"list_filter({{0}}, lambda _m: {_HAS})")),
    "array_except": Function(2, 2, _sets(f"list_filter({{0}}, lambda _m: NOT ({_HAS}))")),
    "arrays_overlap": Function(2, 2, _overlap),
    "array_compact": Function(1, 1, _compact),
    "array_max": Function(1, 1, _extreme("list_max")),
    "array_min": Function(1, 1, _extreme("list_min")),
    "array_join": Function(2, 3, _join),
    "array_repeat": Function(2, 2, _repeat),
    "array_sort": Function(1, 2, _array_sort),
    "sort_array": Function(1, 2, _sort_array),
    "slice": Function(3, 3, _slice),
    "element_at": Function(2, 2, _element_at),
    "try_element_at": Function(2, 2, _element_at),
    "get": Function(2, 2, _get),
    "flatten": Function(1, 1, _flatten),
    "sequence": Function(2, 3, _sequence),
    "arrays_zip": Function(1, 20, _arrays_zip),
    "array_insert": refused("use concat(slice(...), array(x), slice(...))"),
}
