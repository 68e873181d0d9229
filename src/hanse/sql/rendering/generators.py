"""explode and its kin: functions that give several rows, in the SELECT list, in LATERAL VIEW and in FROM."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlglot import exp

from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.scope import Scope
from hanse.sql.rendering.templates import cast_to, duck, text
from hanse.sql.rendering.types import INT, array, common_types, engine_text
from hanse.sql.rendering.values import Value, misfit, settle

__all__ = ["generate", "generator_of"]

Bind = Callable[[exp.Expr, Scope], Value]
Output = list[tuple[str, Value]]


class Generator(msgspec.Struct, frozen=True):
    """A call of a generator: its name without ``_outer``, its arguments, and whether an empty input keeps a row."""

    name: str
    outer: bool
    node: exp.Expr
    arguments: list[exp.Expr]


_NAMES = ("explode", "posexplode", "inline", "stack")


def generator_of(node: exp.Expr, *, outer: bool = False) -> Generator | None:
    """The generator that an expression is, or None."""
    if isinstance(node, (exp.Explode, exp.Posexplode, exp.Inline)) and not isinstance(node, exp.Anonymous):
        name = node.sql_name().lower()
        return Generator(name.removesuffix("_outer"), outer or name.endswith("_outer"), node, [node.this])
    if not isinstance(node, exp.Anonymous):
        return None
    name = node.name.lower()
    bare = name.removesuffix("_outer")
    if bare not in _NAMES or name == "stack_outer":
        return None
    return Generator(bare, outer or name != bare, node, list(node.expressions))


def generate(call: Generator, names: list[str], scope: Scope, bind: Bind) -> Output:
    """The columns that a generator gives, each an ``unnest`` that runs beside the others.

    Args:
        call: the generator.
        names: what its columns are called; their own names where it is empty.
        scope: the names in sight.
        bind: renders an argument.
    """
    if call.name == "stack":
        columns = _stack(call, scope, bind)
    else:
        if len(call.arguments) != 1:
            raise misfit(call.node, f"{call.name} with {len(call.arguments)} arguments", "need 1")
        value = settle(bind(call.arguments[0], scope))
        columns = _columns(call, value)
    if names and len(names) != len(columns):
        given = "name" if len(names) == 1 else "names"
        raise misfit(call.node, f"{len(names)} {given} for the {len(columns)} columns of {call.name}", "name each once")
    return [(names[i] if names else name, value) for i, (name, value) in enumerate(columns)]


def _columns(call: Generator, value: Value) -> Output:
    kind = value.type.kind
    if call.name == "inline":
        if kind != "array" or value.type.element.kind != "struct":
            raise misfit(call.node, f"inline of a value of type {value.type}", "need an array of structs")
        return _inline(call, value)
    if kind not in ("array", "map"):
        raise misfit(call.node, f"{call.name} of a value of type {value.type}", "need an array or a map")
    position: Output = []
    if call.name == "posexplode":
        position = [("pos", _unnest(_positions(call, value), INT))]
    if kind == "map":
        key, item = value.type.args
        keys = Value(duck("map_keys({0})", value.sql), array(key))
        items = Value(duck("map_values({0})", value.sql), array(item))
        return [
            *position,
            ("key", _unnest(_padded(keys, call), key)),
            ("value", _unnest(_padded(items, call), item)),
        ]
    return [*position, ("col", _unnest(_padded(value, call), value.type.element))]


def _unnest(sql: exp.Expr, type_: object) -> Value:
    return Value(duck("unnest({0})", sql), type_)  # type: ignore[arg-type]


def _padded(value: Value, call: Generator) -> exp.Expr:
    """With OUTER, an empty array gives one NULL."""
    if not call.outer:
        return value.sql
    one = cast_to(exp.Array(expressions=[exp.Null()]), value.type)
    return duck("CASE WHEN len({0}) > 0 THEN {0} ELSE {1} END", value.sql, one)


def _positions(call: Generator, value: Value) -> exp.Expr:
    size = "cardinality({0})" if value.type.kind == "map" else "len({0})"
    positions = f"CAST(range(CAST({size} AS BIGINT)) AS INTEGER[])"
    if not call.outer:
        return duck(positions, value.sql)
    return duck(f"CASE WHEN {size} > 0 THEN {positions} ELSE CAST([NULL] AS INTEGER[]) END", value.sql)


def _inline(call: Generator, value: Value) -> Output:
    padded = Value(_padded(value, call), value.type)
    output = []
    for name, type_ in zip(value.type.element.names, value.type.element.args, strict=True):
        row = duck("unnest({0})", padded.sql)
        output.append((name, Value(duck("struct_extract({0}, {1})", row, text(name)), type_)))
    return output


def _stack(call: Generator, scope: Scope, bind: Bind) -> Output:
    values = [settle(bind(argument, scope)) for argument in call.arguments]
    rows = values[0].integer if values else None
    if rows is None or rows < 1:
        raise misfit(call.node, "stack without a number of rows", "write stack(2, a, b, c, d)")
    cells = values[1:]
    width = -(-len(cells) // rows)
    output: Output = []
    for index in range(width):
        column = cells[index::width]
        type_ = common_types([value.type for value in column])
        if type_ is None:
            raise misfit(call.node, f"stack: column {index + 1} of different types", "cast them to one type")
        items = [coerce(value, type_, call.node).sql for value in column]
        items += [exp.Null()] * (rows - len(items))
        listed = duck(f"CAST({{0}} AS {engine_text(array(type_))})", exp.Array(expressions=items))
        output.append((f"col{index}", _unnest(listed, type_)))
    return output
