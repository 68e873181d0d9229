"""Casts as Spark makes them with ANSI mode off, in words that mean the same with it on."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.types import BIGINT, INT, Type
from hanse.sql.rendering.values import Value
from hanse.sql.spark.texts import cast_as, quoted, spark

__all__ = ["implied", "written_cast"]

_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_BLANKS = r"[\\x00-\\x20\\x7f]"
_WHOLE = (
    rf"regexp_extract(regexp_replace(regexp_replace({{0}}, '^{_BLANKS}+', ''), '^([+-]?)\\.', '$10.'), "
    rf"'^([+-]?\\d+)(\\.\\d*)?{_BLANKS}*$', 1)"
)


def implied(sql: exp.Expr, source: Type, target: Type) -> exp.Expr:
    """A cast that the script leaves implicit; Spark makes those that no setting changes."""
    return sql if source == target or _harmless(source, target) else written_cast(sql, source, target)


def _harmless(source: Type, target: Type) -> bool:
    if source.is_integral and target.is_integral:
        return _BITS[source.kind] <= _BITS[target.kind]
    if source.is_numeric and target.is_numeric:
        return target.kind in ("double", "decimal") and source.kind not in ("float", "double")
    if source.is_interval and target.is_interval:
        return True
    return source.kind == "date" and target.kind == "timestamp"


def written_cast(sql: exp.Expr, source: Type, target: Type) -> exp.Expr:
    """``CAST(sql AS target)`` with ANSI mode off: what does not fit is NULL, or what Java makes of it."""
    if source == target or source.kind == "null" or (source.is_interval and target.is_interval):
        return cast_as(sql, target)
    if source.is_nested or target.is_nested:
        return _nested(sql, source, target)
    if source.kind == "string":
        if target.is_integral:
            literal = Value(sql, source).literal
            plain = literal is not None and literal.strip().lstrip("+-").isdigit()
            return cast_as(sql if plain else spark(_WHOLE, sql), target, safe=True)
        return cast_as(sql, target, safe=True)
    if source.is_integral and target.is_integral:
        return cast_as(sql, target) if _BITS[source.kind] <= _BITS[target.kind] else _wrapped_around(sql, target)
    if source.is_fractional and target.is_integral:
        return _saturated(sql, target)
    sure = target.kind in ("string", "double", "float", "boolean", "date") or source.kind in ("boolean", "date")
    return cast_as(sql, target, safe=not sure)


def _wrapped_around(sql: exp.Expr, target: Type) -> exp.Expr:
    """Keep the low bits, as Java does."""
    bits = _BITS[target.kind]
    literal = Value(sql, BIGINT).integer
    if literal is not None and -(2 ** (bits - 1)) <= literal < 2 ** (bits - 1):
        return cast_as(sql, target)
    half = 2 ** (bits - 1)
    long = spark("CAST({0} AS BIGINT)", sql)
    return cast_as(spark(f"(({{0}} & CAST({2**bits - 1} AS BIGINT)) ^ CAST({half} AS BIGINT)) - {half}", long), target)


def _saturated(sql: exp.Expr, target: Type) -> exp.Expr:
    """NaN is 0, and what is too large the largest; short integers go by way of INT."""
    if isinstance(sql, exp.Literal) and abs(float(sql.name)) < 100:
        return cast_as(sql, target)
    wide = BIGINT if target == BIGINT else INT
    half = 2 ** (_BITS[wide.kind] - 1)
    high = float(half if wide == BIGINT else half - 1)
    limits = f"greatest(least(CAST({{0}} AS DOUBLE), CAST('{high!r}' AS DOUBLE)), CAST('{-float(half)!r}' AS DOUBLE))"
    kept = f"CASE WHEN isnan({{0}}) THEN CAST(0 AS DOUBLE) WHEN {{0}} IS NOT NULL THEN {limits} END"  # least skips NULL
    whole = cast_as(spark(kept, sql), wide)
    return whole if wide == target else _wrapped_around(whole, target)


def _plain(source: Type, target: Type) -> bool:
    """Whether TRY_CAST does to a value what a cast with ANSI mode off does."""
    if source == target or source.kind == "null":
        return True
    if source.is_nested or target.is_nested:
        pairs = zip(source.args, target.args, strict=False)
        return source.kind == target.kind and all(_plain(a, b) for a, b in pairs)
    if target.is_integral:
        return source.is_integral and _BITS[source.kind] <= _BITS[target.kind]
    return True


def _nested(sql: exp.Expr, source: Type, target: Type) -> exp.Expr:
    if _plain(source, target) or source.kind != target.kind:
        return cast_as(sql, target, safe=True)
    if source.kind == "array":
        variable = exp.Column(this=exp.to_identifier("_c"))
        body = written_cast(variable, source.element, target.element)
        step = exp.Lambda(this=body, expressions=[exp.to_identifier("_c")])
        return exp.Anonymous(this="transform", expressions=[sql, step])
    if source.kind == "map":
        value = written_cast(exp.Column(this=exp.to_identifier("_v")), source.args[1], target.args[1])
        step = exp.Lambda(this=value, expressions=[exp.to_identifier("_k"), exp.to_identifier("_v")])
        return exp.Anonymous(this="transform_values", expressions=[sql, step])
    fields: list[exp.Expr] = []
    for old, a, new, b in zip(source.names, source.args, target.names, target.args, strict=True):
        part = exp.Dot(this=exp.Paren(this=sql.copy()), expression=quoted(old))
        fields += [exp.Literal.string(new), written_cast(part, a, b)]
    made = exp.Anonymous(this="named_struct", expressions=fields)
    return spark("CASE WHEN {0} IS NOT NULL THEN {1} END", sql, made)
