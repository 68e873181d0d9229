"""Casts as Spark makes them with ANSI mode off: what does not fit becomes NULL, fractions are cut off."""

from __future__ import annotations

import re

from sqlglot import exp

from hanse.sql.rendering.notes import note_cast
from hanse.sql.rendering.templates import cast_to, duck
from hanse.sql.rendering.types import (
    BIGINT,
    DATE,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    array,
    engine_text,
    map_of,
    struct,
)
from hanse.sql.rendering.values import Value, misfit, settle, unsupported

__all__ = ["cast_value", "coerce", "to_boolean"]

_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_DIGITS_OF = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_PLAIN_DATE = re.compile(r"\d{4}-\d{2}-\d{2}$")
_PLAIN_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$")
_BLANK = r"[\x00-\x20\x7f]*"  # what Spark trims: control characters, and no other space than this one
_ZERO_BEFORE = rf"regexp_replace({{0}}, '^({_BLANK}[+-]?)\.', '\10.')"
_INTEGER_TEXT = rf"nullif(regexp_extract({_ZERO_BEFORE}, '^{_BLANK}([+-]?\d+)(\.\d*)?{_BLANK}$', 1), '')"
_WHOLE_TEXT = rf"nullif(regexp_extract({{0}}, '^{_BLANK}([+-]?\d+){_BLANK}$', 1), '')"
_DAY_TEXT = rf"regexp_extract({{0}}, '^{_BLANK}\+?(\d{{4,7}}-\d\d?-\d\d?)([ T].*)?{_BLANK}$', 1)"
_MONTH_TEXT = rf"regexp_extract({{0}}, '^{_BLANK}\+?(\d\d\d\d(-\d\d?)?){_BLANK}$', 1)"
_FIRST_TEXT = rf"regexp_replace({_MONTH_TEXT}, '^(\d\d\d\d)$', '\1-01') || '-01'"
_MOMENT_TEXT = rf"regexp_extract({{0}}, '^{_BLANK}\+?(\d{{4,6}}-\d\d?-.*?){_BLANK}$', 1)"
_TIME_TEXT = rf"regexp_replace({_MOMENT_TEXT}, '([ T]\d\d?)$', '\1:00')"
_DECIMAL_TEXT = "CASE WHEN NOT contains({0}, '_') THEN {0} END"  # DuckDB reads 1_000, and blanks around a number
_REAL_TEXT = r"CASE WHEN NOT contains({0}, '_') THEN regexp_replace({0}, '([\d.])[dDfF]\s*$', '\1') END"
_TRUTH_TEXT = rf"regexp_extract({{0}}, '^{_BLANK}(\w+){_BLANK}$', 1)"

_DIGITS = "rtrim(ltrim(replace(regexp_replace(CAST(abs({0}) AS VARCHAR), 'e.*$', ''), '.', ''), '0'), '0')"
_EXPONENT = "CAST(floor(log10(abs({0}))) AS INTEGER)"
JAVA_DOUBLE = (
    "CASE WHEN isnan({0}) THEN 'NaN' WHEN isinf({0}) THEN CASE WHEN {0} > 0 THEN 'Infinity' ELSE '-Infinity' END "
    "WHEN {0} = 0 OR (abs({0}) >= 0.001e0 AND abs({0}) < 1e7) THEN CAST({0} AS VARCHAR) "
    f"ELSE CASE WHEN {{0}} < 0 THEN '-' ELSE '' END || substring({_DIGITS}, 1, 1) || '.' || "
    f"coalesce(nullif(substring({_DIGITS}, 2), ''), '0') || 'E' || {_EXPONENT} END"
)
"""A double as Java prints it: 1.0E7 from ten millions on and below a thousandth."""


def coerce(value: Value, target: Type, node: exp.Expr | None = None) -> Value:
    """``value`` as ``target``, where it is not of that type already; an implicit cast."""
    value = settle(value)
    if value.type == target or (target.is_interval and value.type.is_interval):
        return value
    note_cast(value.source, target)
    if _same_on_engine(value.type, target):
        return value.with_type(target)
    return cast_value(value, target, node)


def cast_value(value: Value, target: Type, node: exp.Expr | None = None, *, ansi_try: bool = False) -> Value:
    """CAST (or, with ``ansi_try``, Spark's TRY_CAST: NULL where the value does not fit exactly in range)."""
    value = settle(value)
    source = value.type
    if source == target:
        return value
    if source.kind == "null":
        return Value(cast_to(value.sql, target), target)
    if source.is_nested or target.is_nested:
        return _nested(value, target, node, ansi_try)
    sql = _scalar(value, target, ansi_try)
    if sql is None:
        raise unsupported(node, f"CAST of {source} AS {target}", "cast by way of a type that both know")
    return Value(sql, target)


def to_boolean(value: Value, node: exp.Expr, what: str) -> Value:
    """A condition; a string is cast, anything else is an error."""
    value = settle(value)
    if value.type.kind in ("boolean", "null"):
        return value
    if value.type.kind == "string":
        note_cast(value.source, Type("boolean"))
        return cast_value(value, Type("boolean"), node)
    raise misfit(node, f"{what} of type {value.type}", "need a condition (BOOLEAN)")


def _same_on_engine(source: Type, target: Type) -> bool:
    return source.kind not in ("null", "foreign") and engine_text(source) == engine_text(target)


def _scalar(value: Value, target: Type, ansi_try: bool) -> exp.Expression | None:
    source, sql = value.type, value.sql
    if target.kind == "string":
        return _to_string(sql, source)
    if source.kind == "string":
        return _from_string(value, target, ansi_try)
    if source.is_numeric and target.is_numeric:
        return _number_to_number(sql, source, target, ansi_try)
    if target.kind == "boolean" and source.is_numeric:
        return duck("{0} <> 0", sql)
    if source.kind == "boolean" and target.is_numeric:
        return cast_to(sql, target)
    if source.kind == "date" and target.kind == "timestamp":
        return cast_to(sql, target)
    if source.kind == "timestamp":
        return _from_timestamp(sql, target)
    if target.kind == "timestamp" and source.is_numeric:
        if source.is_integral:
            return duck("make_timestamp(CAST({0} AS BIGINT) * 1000000)", sql)
        return duck("make_timestamp(CAST(trunc({0} * 1000000) AS BIGINT))", sql)
    if source.kind == "binary":
        return None
    if source.is_interval and target.is_interval:
        return sql.copy()  # type: ignore[return-value]
    return None


def _from_timestamp(sql: exp.Expr, target: Type) -> exp.Expression | None:
    """A timestamp as a day, or as seconds since 1970: whole ones as integers, fractions as numbers that have them."""
    if target.kind == "date":
        return cast_to(sql, DATE)
    if target.is_integral:
        seconds = duck("datediff('second', TIMESTAMP '1970-01-01 00:00:00', {0})", sql)
        return seconds if target == BIGINT else cast_to(seconds, target, safe=True)
    if target.kind == "double":
        return duck("epoch({0})", sql)
    if target.kind == "decimal":
        return cast_to(duck("CAST(epoch_us({0}) AS DECIMAL(20, 0)) * 0.000001", sql), target, safe=True)
    if target.is_numeric:
        return cast_to(duck("epoch({0})", sql), target)
    return None


def _to_string(sql: exp.Expr, source: Type) -> exp.Expression | None:
    if source.kind == "double":
        return duck(JAVA_DOUBLE, sql)
    if source.kind == "binary":
        return duck("decode({0})", sql)
    if source.kind in ("float", "interval", "interval_days", "interval_months", "foreign"):
        return None
    if source.kind == "decimal" and source.scale > 6:
        return duck(_JAVA_DECIMAL.replace("{S}", str(source.scale)), sql, _decimal_text(sql, source))
    return _decimal_text(sql, source) if source.kind == "decimal" else cast_to(sql, STRING)


_UNSCALED = "ltrim(replace(replace(CAST({0} AS VARCHAR), '-', ''), '.', ''), '0')"
_JAVA_DECIMAL = (
    "CASE WHEN {0} = 0 THEN '0E-{S}' WHEN abs({0}) < 0.000001 THEN CASE WHEN {0} < 0 THEN '-' ELSE '' END || "
    f"substring({_UNSCALED}, 1, 1) || CASE WHEN length({_UNSCALED}) > 1 THEN '.' ELSE '' END || "
    f"substring({_UNSCALED}, 2) || 'E' || CAST(length({_UNSCALED}) - 1 - {{S}} AS VARCHAR) ELSE {{1}} END"
)
"""A decimal as Java prints it: below a millionth with an exponent."""


def _decimal_text(sql: exp.Expr, source: Type) -> exp.Expression:
    """A decimal as text, with a zero before the point, which DuckDB leaves out where the type has no digit there."""
    written = cast_to(sql, STRING)
    return duck(r"regexp_replace({0}, '^(-?)\.', '\10.')", written) if source.precision == source.scale else written


def _from_string(value: Value, target: Type, ansi_try: bool) -> exp.Expression | None:
    sql, literal = value.sql, value.literal
    if target.kind == "date":
        if literal and _PLAIN_DATE.match(literal):
            return cast_to(sql, DATE, safe=not _is_date(literal))
        return duck(f"coalesce(TRY_CAST({_DAY_TEXT} AS DATE), TRY_CAST({_FIRST_TEXT} AS DATE))", sql)
    if target.kind == "timestamp":
        if literal and (_PLAIN_DATE.match(literal) or _PLAIN_TIMESTAMP.match(literal)):
            return cast_to(sql, TIMESTAMP, safe=not _is_date(literal[:10]) or len(literal) > 10)
        moment = f"timezone('UTC', TRY_CAST({_TIME_TEXT} AS TIMESTAMP WITH TIME ZONE))"
        return duck(f"coalesce({moment}, TRY_CAST({_FIRST_TEXT} AS TIMESTAMP))", sql)
    if target.is_integral:
        return cast_to(duck(_WHOLE_TEXT if ansi_try else _INTEGER_TEXT, sql), target, safe=True)
    if target.is_numeric:
        return cast_to(duck(_DECIMAL_TEXT if target.kind == "decimal" else _REAL_TEXT, sql), target, safe=True)
    if target.kind == "boolean":
        return duck(f"coalesce(TRY_CAST({{0}} AS BOOLEAN), TRY_CAST({_TRUTH_TEXT} AS BOOLEAN))", sql)
    if target.kind == "binary":
        return duck("encode({0})", sql)
    return None


def _is_date(text: str) -> bool:
    month, day = int(text[5:7]), int(text[8:10])
    return 1 <= month <= 12 and 1 <= day <= 28


def _number_to_number(sql: exp.Expr, source: Type, target: Type, ansi_try: bool) -> exp.Expression:
    if target.is_fractional:
        return cast_to(sql, target)
    if target.kind == "decimal" and source.is_fractional:  # as it is written, so that no binary digits show
        return cast_to(cast_to(sql, STRING), target, safe=True)
    if target.kind == "decimal":
        return cast_to(sql, target, safe=not _fits_decimal(source, target))
    if source.is_integral:
        if _BITS[source.kind] <= _BITS[target.kind]:
            return cast_to(sql, target)
        return cast_to(sql, target, safe=True) if ansi_try else _wrap(sql, target)
    whole = duck("trunc({0})", sql)
    if ansi_try:
        return cast_to(whole, target, safe=True)
    if source.kind == "decimal":
        digits = source.precision - source.scale
        if digits < _DIGITS_OF[target.kind]:
            return cast_to(whole, target)
        wide = cast_to(whole, BIGINT) if digits < _DIGITS_OF["bigint"] else duck("CAST({0} AS HUGEINT)", whole)
        return _wrap(wide, target)
    if _BITS[target.kind] < _BITS["int"]:
        return _wrap(_saturate(sql, INT), target)
    return _saturate(sql, target)


def _wrap(sql: exp.Expr, target: Type) -> exp.Expression:
    """Keep the low bits, as Java does."""
    bits = _BITS[target.kind]
    literal = _literal_integer(sql)
    if literal is not None and -(2 ** (bits - 1)) <= literal < 2 ** (bits - 1):
        return cast_to(sql, target)
    return cast_to(duck(f"xor({{0}} & {2**bits - 1}, {2 ** (bits - 1)}) - {2 ** (bits - 1)}", sql), target)


def _literal_integer(sql: exp.Expr) -> int | None:
    return Value(sql, BIGINT).integer


def _saturate(sql: exp.Expr, target: Type) -> exp.Expression:
    """A double as an integer, as Java does: NaN is 0, what is too large is the largest."""
    largest = 2 ** (_BITS[target.kind] - 1) - 1
    limits = f"CASE WHEN isnan({{0}}) THEN 0 WHEN {{0}} > 0 THEN {largest} WHEN {{0}} < 0 THEN {-largest} - 1 END"
    type_ = engine_text(target)
    return duck(f"coalesce(TRY_CAST(trunc({{0}}) AS {type_}), CAST({limits} AS {type_}))", sql)


def _fits_decimal(source: Type, target: Type) -> bool:
    if source.kind == "decimal":
        return source.precision - source.scale <= target.precision - target.scale and source.scale <= target.scale
    return source.is_integral and target.precision - target.scale >= _DIGITS_OF[source.kind]


def _nested(value: Value, target: Type, node: exp.Expr | None, ansi_try: bool) -> Value:
    source = value.type
    if source.kind != target.kind or len(source.args) != len(target.args):
        cure = "use array_join(...) or its parts" if target.kind == "string" else ""
        raise unsupported(node, f"CAST of {source} AS {target}", cure)
    if _same_on_engine(source, target):
        return value.with_type(target)
    if source.kind == "array":
        item = exp.to_identifier("_c")
        inner = cast_value(Value(exp.Column(this=item), source.element), target.element, node, ansi_try=ansi_try)
        body = exp.Lambda(this=inner.sql, expressions=[item.copy()])
        return Value(duck("list_transform({0}, {1})", value.sql, body), array(inner.type))
    if all(
        _same_on_engine(a, b) or (a.is_numeric and b.is_numeric) or a.kind == "null"
        for a, b in zip(source.args, target.args, strict=True)
    ):
        kind = struct(target.names, target.args) if source.kind == "struct" else map_of(*target.args)
        if source.kind == "struct" and source.names != target.names:
            return Value(_rebuild(value, target, node), kind)
        return Value(cast_to(value.sql, kind), kind)
    if source.kind == "struct":
        return Value(_rebuild(value, target, node), target)
    raise unsupported(node, f"CAST of {source} AS {target}")


def _rebuild(value: Value, target: Type, node: exp.Expr | None) -> exp.Expression:
    fields = []
    for old, old_type, new, new_type in zip(value.type.names, value.type.args, target.names, target.args, strict=True):
        inner = Value(duck("struct_extract({0}, {1})", value.sql, exp.Literal.string(old)), old_type)
        cast = coerce(inner, new_type, node)
        fields.append(exp.PropertyEQ(this=exp.to_identifier(new, quoted=True), expression=cast.sql))
    return duck("CASE WHEN {0} IS NOT NULL THEN {1} END", value.sql, exp.Struct(expressions=fields))
