"""Functions of maps and structs."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function, refused
from hanse.sql.rendering.casts import coerce, to_boolean
from hanse.sql.rendering.templates import duck
from hanse.sql.rendering.types import BOOLEAN, INT, NULL, STRING, Type, array, common_types, map_of, struct
from hanse.sql.rendering.values import Value, misfit, settle

__all__ = ["MAPS"]


def _common(call: Call, indices: range) -> tuple[list[Value], Type]:
    values, type_ = call.common(list(indices))
    return values, INT if type_ == NULL else type_


def _map(call: Call) -> Value:
    if len(call) % 2:
        raise misfit(call.node, f"map of {len(call)} arguments", "need pairs of key and value")
    if not len(call):
        return Value(duck("CAST(map([], []) AS MAP(VARCHAR, INTEGER))"), map_of(STRING, INT))
    keys, key_type = _common(call, range(0, len(call), 2))
    values, value_type = _common(call, range(1, len(call), 2))
    pair = exp.Array(expressions=[v.sql for v in keys]), exp.Array(expressions=[v.sql for v in values])
    return Value(duck("map({0}, {1})", *pair), map_of(key_type, value_type))


def _from_arrays(call: Call) -> Value:
    keys, values = call.array(0), call.array(1)
    sql = duck("CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN map({0}, {1}) END", keys.sql, values.sql)
    return Value(sql, map_of(keys.type.element, values.type.element))


def _from_entries(call: Call) -> Value:
    value = call.array(0)
    element = value.type.element
    if element.kind != "struct" or len(element.args) != 2:
        raise misfit(call.node, f"map_from_entries of {value.type}", "need an array of structs of two fields")
    return Value(duck("map_from_entries({0})", value.sql), map_of(*element.args))


def _keys(call: Call) -> Value:
    value = call.map(0)
    return Value(duck("map_keys({0})", value.sql), array(value.type.args[0]))


def _values(call: Call) -> Value:
    value = call.map(0)
    return Value(duck("map_values({0})", value.sql), array(value.type.args[1]))


def _entries(call: Call) -> Value:
    value = call.map(0)
    return Value(duck("map_entries({0})", value.sql), array(struct(["key", "value"], value.type.args)))


def _contains_key(call: Call) -> Value:
    value = call.map(0)
    key = coerce(call.value(1), value.type.args[0], call.node)
    return Value(duck("map_contains({0}, {1})", value.sql, key.sql), BOOLEAN)


def _concat(call: Call) -> Value:
    values = [call.map(index) for index in range(len(call))]
    type_ = common_types([value.type for value in values])
    if type_ is None:
        raise misfit(call.node, "map_concat of maps of different types", "cast them to one type")
    parts = [coerce(value, type_, call.node).sql for value in values]
    sql: exp.Expr = exp.Anonymous(this="map_concat", expressions=parts)
    for part in parts:
        sql = duck("CASE WHEN {0} IS NOT NULL THEN {1} END", part, sql)
    return Value(sql, type_)


def _over_entries(call: Call) -> tuple[Value, exp.Lambda, Value]:
    """A map and a lambda of key and value, as a lambda of one entry."""
    value = call.map(0)
    body, result = call.function(1, list(value.type.args))
    key, item = (variable.name for variable in body.expressions)
    inner = exp.Paren(this=body.this.copy())
    for column in list(inner.find_all(exp.Column)):
        if not column.table and column.name in (key, item):
            field = "key" if column.name == key else "value"
            column.replace(duck(f"struct_extract({{0}}, '{field}')", exp.column("_m")))
    return value, exp.Lambda(this=inner.this, expressions=[exp.to_identifier("_m")]), result


def _filter(call: Call) -> Value:
    value, step, result = _over_entries(call)
    to_boolean(result, call.nodes[1], "the lambda of map_filter")
    return Value(duck("map_from_entries(list_filter(map_entries({0}), {1}))", value.sql, step), value.type)


def _transform_values(call: Call) -> Value:
    value, step, result = _over_entries(call)
    sql = duck(
        "CASE WHEN {0} IS NOT NULL THEN map(map_keys({0}), list_transform(map_entries({0}), {1})) END",
        value.sql,
        step,
    )
    return Value(sql, map_of(value.type.args[0], result.type))


def _transform_keys(call: Call) -> Value:
    value, step, result = _over_entries(call)
    sql = duck(
        "CASE WHEN {0} IS NOT NULL THEN map(list_transform(map_entries({0}), {1}), map_values({0})) END",
        value.sql,
        step,
    )
    return Value(sql, map_of(result.type, value.type.args[1]))


def _named_struct(call: Call) -> Value:
    if len(call) % 2 or not len(call):
        raise misfit(call.node, f"named_struct of {len(call)} arguments", "need pairs of name and value")
    names = [call.text(index) for index in range(0, len(call), 2)]
    return _make(names, [call.value(index) for index in range(1, len(call), 2)])


def _struct(call: Call) -> Value:
    names, values = [], []
    for index, node in enumerate(call.nodes):
        inner = node.this if isinstance(node, exp.Alias) else node
        values.append(settle(call.bind(inner, call.scope)))
        if isinstance(node, exp.Alias):
            names.append(node.alias)
        elif isinstance(inner, (exp.Column, exp.Dot, exp.Identifier)):
            names.append(inner.name or inner.expression.name)
        else:
            names.append(f"col{index + 1}")
    return _make(names, values)


def _make(names: list[str], values: list[Value]) -> Value:
    items = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=value.sql)
        for name, value in zip(names, values, strict=True)
    ]
    return Value(exp.Struct(expressions=items), struct(names, [value.type for value in values]))


MAPS: dict[str, Function] = {
    "map": Function(0, 10000, _map),
    "map_from_arrays": Function(2, 2, _from_arrays),
    "map_from_entries": Function(1, 1, _from_entries),
    "map_keys": Function(1, 1, _keys),
    "map_values": Function(1, 1, _values),
    "map_entries": Function(1, 1, _entries),
    "map_contains_key": Function(2, 2, _contains_key),
    "map_concat": Function(1, 100, _concat),
    "map_filter": Function(2, 2, _filter),
    "transform_values": Function(2, 2, _transform_values),
    "transform_keys": Function(2, 2, _transform_keys),
    "named_struct": Function(2, 2000, _named_struct),
    "struct": Function(1, 1000, _struct),
    "str_to_map": refused("use map_from_entries(transform(split(...), ...))"),
    "map_zip_with": refused("use transform over map_keys"),
}
