"""COALESCE, IF, NULLIF, GREATEST ... and functions that are casts or operators by another name."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering import operators
from hanse.sql.rendering.call import Call, Function, plain
from hanse.sql.rendering.casts import cast_value, coerce, to_boolean
from hanse.sql.rendering.spark_types import CASTS
from hanse.sql.rendering.templates import cast_to, duck
from hanse.sql.rendering.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INT,
    Type,
)
from hanse.sql.rendering.values import Value, misfit

__all__ = ["CONDITIONALS"]


def _called(name: str, values: list[Value]) -> exp.Expression:
    return exp.Anonymous(this=name, expressions=[value.sql for value in values])


def _coalesce(call: Call) -> Value:
    values, type_ = call.common()
    return Value(exp.Coalesce(this=values[0].sql, expressions=[v.sql for v in values[1:]]) if len(values) > 1
                 else values[0].sql, type_)  # fmt: skip


def _if(call: Call) -> Value:
    test = to_boolean(call.value(0), call.nodes[0], "the condition of if")
    (yes, no), type_ = call.common([1, 2])
    return Value(exp.Case(ifs=[exp.If(this=test.sql, true=yes.sql)], default=no.sql), type_)


def _nullif(call: Call) -> Value:
    left, right = call.value(0), call.value(1)
    test = operators.compare(exp.EQ, left, right, call.node)
    return Value(duck("CASE WHEN {0} THEN NULL ELSE {1} END", test.sql, left.sql), left.type)


def _nvl2(call: Call) -> Value:
    (yes, no), type_ = call.common([1, 2])
    return Value(duck("CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END", call.value(0).sql, yes.sql, no.sql), type_)


def _most(name: str) -> Callable[[Call], Value]:
    def build(call: Call) -> Value:
        values, type_ = call.common()
        return Value(_called(name, values), type_)

    return build


def _decode(call: Call) -> Value:
    subject = call.value(0)
    rest = list(range(1, len(call)))
    pairs = list(zip(rest[::2], rest[1::2], strict=False))
    results = [i for _, i in pairs] + ([rest[-1]] if len(rest) % 2 else [])
    values, type_ = call.common(results)
    ifs = []
    for (search, _), result in zip(pairs, values, strict=False):
        test = operators.compare(exp.NullSafeEQ, subject, call.value(search), call.node)
        ifs.append(exp.If(this=test.sql, true=result.sql))
    return Value(exp.Case(ifs=ifs, default=values[-1].sql if len(rest) % 2 else None), type_)


def _cast(type_: Type) -> Function:
    return Function(1, 1, lambda call: cast_value(call.value(0), type_, call.node))


def _operator(symbol: str) -> Function:
    """An operation that is NULL where it overflows."""

    def build(call: Call) -> Value:
        left, right = call.value(0), call.value(1)
        value = operators.arithmetic(symbol, left, right, call.node)
        if symbol not in "+-*" or not (left.type.is_integral and right.type.is_integral):
            return value
        wide = duck(f"CAST({{0}} AS HUGEINT) {symbol} CAST({{1}} AS HUGEINT)", left.sql, right.sql)
        return Value(cast_to(wide, value.type, safe=True), value.type)

    return Function(2, 2, build)


def _shift(template: str) -> Function:
    def build(call: Call) -> Value:
        value = call.value(0)
        if value.type.kind not in ("int", "bigint"):
            value = coerce(value, INT, call.node)
        width = 31 if value.type == INT else 63
        count = duck(f"({{0}} & {width})", coerce(call.value(1), INT, call.node).sql)
        return Value(duck(template, value.sql, count), value.type)

    return Function(2, 2, build)


def _isnan(call: Call) -> Value:
    value = call.value(0)
    if not value.type.is_fractional:
        value = coerce(value, DOUBLE, call.node)
    return Value(duck("coalesce(isnan({0}), FALSE)", value.sql), BOOLEAN)


def _nanvl(call: Call) -> Value:
    a, b = coerce(call.value(0), DOUBLE, call.node), coerce(call.value(1), DOUBLE, call.node)
    return Value(duck("CASE WHEN isnan({0}) THEN {1} ELSE {0} END", a.sql, b.sql), DOUBLE)


def _equal_null(call: Call) -> Value:
    return operators.compare(exp.NullSafeEQ, call.value(0), call.value(1), call.node)


def _not(call: Call) -> Value:
    raise misfit(call.node, f"{call.name} as a function", "write it as an operator")


CONDITIONALS: dict[str, Function] = {
    "coalesce": Function(1, 1000, _coalesce),
    "nvl": Function(2, 2, _coalesce),
    "ifnull": Function(2, 2, _coalesce),
    "nvl2": Function(3, 3, _nvl2),
    "nullif": Function(2, 2, _nullif),
    "nullifzero": plain("nullif({0}, 0)", None, returns=lambda values: values[0].type),
    "zeroifnull": plain("coalesce({0}, 0)", None, returns=lambda values: values[0].type),
    "if": Function(3, 3, _if),
    "greatest": Function(2, 1000, _most("greatest")),
    "least": Function(2, 1000, _most("least")),
    "decode": Function(3, 1000, _decode),
    "isnull": plain("{0} IS NULL", None, returns=BOOLEAN),
    "isnotnull": plain("{0} IS NOT NULL", None, returns=BOOLEAN),
    "isnan": Function(1, 1, _isnan),
    "nanvl": Function(2, 2, _nanvl),
    "equal_null": Function(2, 2, _equal_null),
    "try_add": _operator("+"),
    "try_subtract": _operator("-"),
    "try_multiply": _operator("*"),
    "try_divide": _operator("/"),
    "mod": _operator("%"),
    "shiftleft": _shift("{0} << {1}"),
    "shiftright": _shift("{0} >> {1}"),
    "bit_count": plain("CAST(bit_count({0}) AS INTEGER)", BIGINT, returns=INT),
    **{name: _cast(type_) for name, type_ in CASTS.items()},
}
