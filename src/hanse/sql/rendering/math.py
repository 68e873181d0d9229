"""Functions of numbers."""

from __future__ import annotations

from collections.abc import Callable

from hanse.sql.rendering.call import Call, Function, plain
from hanse.sql.rendering.casts import cast_value, coerce
from hanse.sql.rendering.operators import numeric
from hanse.sql.rendering.templates import cast_to, duck
from hanse.sql.rendering.types import BIGINT, DOUBLE, INT, STRING, common_types, decimal
from hanse.sql.rendering.values import Value, unsupported

__all__ = ["MATH"]


def _double(template: str) -> Function:
    return plain(template, DOUBLE, returns=DOUBLE)


def _abs(call: Call) -> Value:
    value = numeric(call.value(0), call.node)
    return Value(duck("abs({0})", value.sql), value.type)


def _sign(call: Call) -> Value:
    value = coerce(call.value(0), DOUBLE, call.node)
    return Value(duck("CAST(sign({0}) AS DOUBLE)", value.sql), DOUBLE)


def _whole(name: str) -> Function:
    """Ceil and floor: BIGINT from doubles, DECIMAL from decimals."""

    def build(call: Call) -> Value:
        value = numeric(call.value(0), call.node)
        if len(call) > 1:
            raise unsupported(call.nodes[1], f"{call.name} to a scale", "multiply, round and divide")
        if value.type.is_integral:
            return coerce(value, BIGINT, call.node)
        if value.type.kind == "decimal":
            type_ = decimal(value.type.precision - value.type.scale + 1, 0)
            return Value(cast_to(duck(f"{name}({{0}})", value.sql), type_), type_)
        return cast_value(Value(duck(f"{name}({{0}})", value.sql), DOUBLE), BIGINT, call.node)

    return Function(1, 2, build)


_ROUND = (
    "coalesce(CAST(round(TRY_CAST(CAST({{0}} AS VARCHAR) AS DECIMAL(38, 18)), {digits}) AS DOUBLE), "
    "round({{0}}, {digits}))"
)
_BANKERS = (
    "coalesce(CAST(CASE WHEN abs(TRY_CAST(CAST({{0}} AS VARCHAR) AS DECIMAL(38, 18)) * {power} % 1) = 0.5 "
    "THEN round({{0}} * {power} / 2) * 2 / {power} "
    "ELSE round(TRY_CAST(CAST({{0}} AS VARCHAR) AS DECIMAL(38, 18)), {digits}) END AS DOUBLE), round({{0}}, {digits}))"
)


def _round(call: Call) -> Value:
    """Half away from zero, of the number as it is written (2.675 to two digits is 2.68)."""
    value = numeric(call.value(0), call.node)
    digits = call.integer(1) if len(call) > 1 else 0
    if value.type.is_integral:
        if digits >= 0:
            return value
        return Value(cast_to(duck(f"round({{0}}, {digits})", value.sql), value.type), value.type)
    if value.type.kind == "decimal":
        scale = max(min(digits, value.type.scale), 0)
        type_ = decimal(value.type.precision - value.type.scale + scale + (digits < value.type.scale), scale)
        return Value(cast_to(duck(f"round({{0}}, {digits})", value.sql), type_), type_)
    if digits > 15:
        return value
    sql = duck(_ROUND.format(digits=digits), value.sql)
    return Value(sql if value.type == DOUBLE else cast_to(sql, value.type), value.type)


def _bround(call: Call) -> Value:
    value = numeric(call.value(0), call.node)
    digits = call.integer(1) if len(call) > 1 else 0
    if value.type.is_integral and digits >= 0:
        return value
    if value.type.kind != "double" or not 0 <= digits <= 9:
        raise unsupported(call.node, f"bround of {value.type} to {digits} digits", "cast to DOUBLE first")
    return Value(duck(_BANKERS.format(digits=digits, power=10**digits), value.sql), DOUBLE)


def _pmod(call: Call) -> Value:
    a, b = (numeric(call.value(i), call.node) for i in (0, 1))
    type_ = common_types([a.type, b.type]) or DOUBLE
    a, b = coerce(a, type_, call.node), coerce(b, type_, call.node)
    remainder = duck("{0} % nullif({1}, 0)", a.sql, b.sql)
    return Value(duck("CASE WHEN {0} < 0 THEN ({0} + {1}) % nullif({1}, 0) ELSE {0} END", remainder, b.sql), type_)


def _log(call: Call) -> Value:
    if len(call) == 1:
        return Value(duck(_LN, call.as_type(0, DOUBLE).sql), DOUBLE)
    base, value = call.as_type(0, DOUBLE).sql, call.as_type(1, DOUBLE).sql
    sql = duck("CASE WHEN {0} > 0 AND {1} > 0 THEN ln({1}) / ln({0}) END", base, value)
    return Value(sql, DOUBLE)


_LN = "CASE WHEN {0} > 0 THEN ln({0}) END"


def _power(call: Call) -> Value:
    return Value(duck("pow({0}, {1})", call.as_type(0, DOUBLE).sql, call.as_type(1, DOUBLE).sql), DOUBLE)


def _negative(sign: str) -> Callable[[Call], Value]:
    def build(call: Call) -> Value:
        value = call.value(0) if call.value(0).type.is_interval else numeric(call.value(0), call.node)
        return Value(duck(f"{sign}{{0}}" if sign else "{0}", value.sql), value.type)

    return build


def _bin(call: Call) -> Value:
    return Value(duck("to_binary({0})", call.as_type(0, BIGINT).sql), STRING)


MATH: dict[str, Function] = {
    "abs": Function(1, 1, _abs),
    "sign": Function(1, 1, _sign),
    "signum": Function(1, 1, _sign),
    "ceil": _whole("ceil"),
    "ceiling": _whole("ceil"),
    "floor": _whole("floor"),
    "round": Function(1, 2, _round),
    "bround": Function(1, 2, _bround),
    "pmod": Function(2, 2, _pmod),
    "positive": Function(1, 1, _negative("")),
    "negative": Function(1, 1, _negative("-")),
    "sqrt": _double("CASE WHEN {0} < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt({0}) END"),
    "cbrt": _double("cbrt({0})"),
    "exp": _double("exp({0})"),
    "expm1": _double("CASE WHEN abs({0}) < 1e-5 THEN {0} * (1 + {0} / 2 * (1 + {0} / 3)) ELSE exp({0}) - 1 END"),
    "ln": _double(_LN),
    "log": Function(1, 2, _log),
    "log2": _double("CASE WHEN {0} > 0 THEN log2({0}) END"),
    "log10": _double("CASE WHEN {0} > 0 THEN log10({0}) END"),
    "log1p": _double(
        "CASE WHEN abs({0}) < 1e-5 THEN {0} * (1 - {0} * (0.5e0 - {0} / 3)) WHEN {0} > -1 THEN ln(1 + {0}) END"
    ),
    "pow": Function(2, 2, _power),
    "power": Function(2, 2, _power),
    "sin": _double("sin({0})"),
    "cos": _double("cos({0})"),
    "tan": _double("tan({0})"),
    "cot": _double("1 / tan({0})"),
    "asin": _double("CASE WHEN abs({0}) > 1 THEN CAST('NaN' AS DOUBLE) ELSE asin({0}) END"),
    "acos": _double("CASE WHEN abs({0}) > 1 THEN CAST('NaN' AS DOUBLE) ELSE acos({0}) END"),
    "atan": _double("atan({0})"),
    "sinh": _double("sinh({0})"),
    "cosh": _double("cosh({0})"),
    "tanh": _double("tanh({0})"),
    "atan2": plain("atan2({0}, {1})", DOUBLE, DOUBLE, returns=DOUBLE),
    "hypot": plain("sqrt({0} * {0} + {1} * {1})", DOUBLE, DOUBLE, returns=DOUBLE),
    "degrees": _double("degrees({0})"),
    "radians": _double("radians({0})"),
    "pi": plain("pi()", returns=DOUBLE),
    "e": plain("exp(1e0)", returns=DOUBLE),
    "rint": _double("CASE WHEN abs({0} % 1) = 0.5e0 THEN round({0} / 2) * 2 ELSE round({0}) END"),
    "factorial": plain("CASE WHEN {0} BETWEEN 0 AND 20 THEN CAST(factorial({0}) AS BIGINT) END", INT, returns=BIGINT),
    "bin": Function(1, 1, _bin),
    "width_bucket": plain(
        "CASE WHEN {0} < {1} THEN 0 WHEN {0} >= {2} THEN {3} + 1 "
        "ELSE CAST(floor({3} * ({0} - {1}) / ({2} - {1})) AS BIGINT) + 1 END",
        DOUBLE, DOUBLE, DOUBLE, BIGINT, returns=BIGINT),
}  # fmt: skip
