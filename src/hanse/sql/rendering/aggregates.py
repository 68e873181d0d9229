"""Aggregates and window functions."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function, refused
from hanse.sql.rendering.casts import coerce, to_boolean
from hanse.sql.rendering.order import order_key
from hanse.sql.rendering.templates import cast_to, duck
from hanse.sql.rendering.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INT,
    NULL,
    STRING,
    Type,
    array,
    decimal,
)
from hanse.sql.rendering.values import Value, misfit, settle, unsupported
from hanse.sql.rendering.windows import mark

__all__ = ["AGGREGATES", "aggregate_call", "aggregate_function", "ignores_nulls"]


def aggregate_call(name: str, *arguments: exp.Expr, distinct: bool = False) -> exp.Expression:
    """A call of one of DuckDB's aggregates."""
    given: list[exp.Expr] = [argument.copy() for argument in arguments]
    if distinct:
        given = [exp.Distinct(expressions=given)]
    return mark(exp.Anonymous(this=name, expressions=given))


def _filtered(call: exp.Expression, test: exp.Expr) -> exp.Expression:
    call.meta.pop("hanse_aggregate", None)
    return mark(exp.Filter(this=call, expression=exp.Where(this=test)))


def _no_distinct(call: Call) -> None:
    if call.distinct:
        raise unsupported(call.node, f"{call.name}(DISTINCT ...)", "take the distinct values in a subquery")


def _no_ignore(call: Call) -> None:
    if call.ignore_nulls:
        raise misfit(
            call.node,
            f"{call.name} IGNORE NULLS",
            "only first, last, any_value, lag, lead and their kin take it",
        )


def _no_order(call: Call) -> None:
    if call.order is not None:
        raise misfit(call.node, f"{call.name} WITHIN GROUP", "only listagg, mode and percentile_cont take it")


Builder = Callable[[Call], Value]


def _checked(build: Builder, *, distinct: bool = False, ignore: bool = False, order: bool = False) -> Builder:
    def checked(call: Call) -> Value:
        if not distinct:
            _no_distinct(call)
        if not ignore:
            _no_ignore(call)
        if not order:
            _no_order(call)
        return build(call)

    return checked


def aggregate_function(least: int, most: int, build: Builder, **allowed: bool) -> Function:
    """A function that takes DISTINCT, IGNORE NULLS or WITHIN GROUP only where that is ``allowed``."""
    return Function(least, most, _checked(build, **allowed))


def _count(call: Call) -> Value:
    if len(call) == 1 and isinstance(call.nodes[0], exp.Star):
        if call.distinct:
            raise unsupported(call.node, "count(DISTINCT *)", "name the columns")
        return Value(aggregate_call("count", exp.Star()), BIGINT)
    values = call.values()
    if len(values) == 1:
        return Value(aggregate_call("count", values[0].sql, distinct=call.distinct), BIGINT)
    together = duck("row({0})", *(values[0].sql,))
    together.set("expressions", [value.sql.copy() for value in values])
    test = duck("{0} IS NOT NULL", values[0].sql)
    for value in values[1:]:
        test = exp.And(this=test, expression=duck("{0} IS NOT NULL", value.sql))
    some = duck("CASE WHEN {0} THEN {1} END", test, together)
    return Value(aggregate_call("count", some, distinct=call.distinct), BIGINT)


def _number(call: Call, index: int = 0) -> Value:
    value = call.value(index)
    if value.type.kind in ("string", "null"):
        return coerce(value, DOUBLE, call.node)
    if not value.type.is_numeric:
        raise misfit(call.node, f"{call.name} of a value of type {value.type}", "need a number")
    return value


def _sum(call: Call) -> Value:
    if call.value(0).type.is_interval:
        return Value(aggregate_call("sum", call.value(0).sql, distinct=call.distinct), call.value(0).type)
    value = _number(call)
    if value.type.is_integral:
        return Value(cast_to(aggregate_call("sum", value.sql, distinct=call.distinct), BIGINT), BIGINT)
    if value.type.kind == "decimal":
        type_ = decimal(value.type.precision + 10, value.type.scale)
        return Value(cast_to(aggregate_call("sum", value.sql, distinct=call.distinct), type_, safe=True), type_)
    value = coerce(value, DOUBLE, call.node)
    return Value(aggregate_call("sum", value.sql, distinct=call.distinct), DOUBLE)


def _avg(call: Call) -> Value:
    value = _number(call)
    if value.type.kind == "decimal":
        type_ = decimal(value.type.precision + 4, value.type.scale + 4)
        return Value(cast_to(aggregate_call("avg", value.sql, distinct=call.distinct), type_, safe=True), type_)
    return Value(aggregate_call("avg", value.sql, distinct=call.distinct), DOUBLE)


def _extreme(name: str) -> Builder:
    def build(call: Call) -> Value:
        value = call.value(0)
        if value.type.kind == "map":
            raise misfit(call.node, f"{call.name} of a value of type {value.type}", "maps have no order")
        if value.type.is_nested:
            test = duck("{0} IS NOT NULL", value.sql)
            return Value(
                _filtered(aggregate_call(f"arg_{name}", value.sql, order_key(value, call.node)), test), value.type
            )
        return Value(aggregate_call(name, value.sql), value.type)

    return build


def _double(name: str) -> Builder:
    """An aggregate of doubles."""

    def build(call: Call) -> Value:
        arguments = [coerce(_number(call, i), DOUBLE, call.node).sql for i in range(len(call))]
        return Value(aggregate_call(name, *arguments, distinct=call.distinct), DOUBLE)

    return build


def _of_pairs(name: str, *spreads: str) -> Builder:
    """An aggregate of pairs of doubles: NULL where they do not spread, which DuckDB makes NaN."""

    def build(call: Call) -> Value:
        pair = [coerce(_number(call, i), DOUBLE, call.node).sql for i in range(2)]
        found = [aggregate_call(each, *pair, distinct=call.distinct) for each in (name, *spreads)]
        none = " OR ".join(f"{{{i}}} = 0" for i in range(1, len(found)))
        return Value(duck(f"CASE WHEN {none} THEN NULL ELSE {{0}} END", *found), DOUBLE)

    return build


def _skewness(call: Call) -> Value:
    """The population's skewness, from DuckDB's, which corrects for the sample."""
    x = coerce(_number(call), DOUBLE, call.node).sql
    n = aggregate_call("count", x)
    spread, skew = aggregate_call("stddev_pop", x), aggregate_call("skewness", x)
    sql = duck("CASE WHEN {1} > 0 THEN CASE WHEN {0} = 2 THEN 0e0 ELSE {2} * ({0} - 2) / sqrt({0} * ({0} - 1)) END END",
               n, spread, skew)  # fmt: skip
    return Value(sql, DOUBLE)


def _kurtosis(call: Call) -> Value:
    x = coerce(_number(call), DOUBLE, call.node).sql
    sql = duck("CASE WHEN {0} > 0 THEN {1} END", aggregate_call("stddev_pop", x), aggregate_call("kurtosis_pop", x))
    return Value(sql, DOUBLE)


def _collect(call: Call) -> Value:
    value = call.value(0)
    if value.type == NULL:
        value = coerce(value, INT, call.node)
    distinct = call.distinct or call.name == "collect_set"
    listed = aggregate_call("list", value.sql, distinct=distinct)
    if not isinstance(value.sql, (exp.Struct, exp.Literal)):  # these are never NULL
        listed = _filtered(listed, duck("{0} IS NOT NULL", value.sql))
    empty = cast_to(exp.Array(expressions=[]), array(value.type))
    return Value(duck("coalesce({0}, {1})", listed, empty), array(value.type))


def ignores_nulls(call: Call) -> bool:
    """Whether IGNORE NULLS, or TRUE as the second argument, was said."""
    if call.ignore_nulls:
        return True
    if len(call) < 2:
        return False
    flag = call.nodes[1]
    if not isinstance(flag, exp.Boolean):
        raise unsupported(call.node, f"{call.name} with a computed second argument", "write TRUE or FALSE")
    return bool(flag.this)


def _first(name: str) -> Builder:
    def build(call: Call) -> Value:
        value = call.value(0)
        sql = aggregate_call(name, value.sql)
        if ignores_nulls(call):
            sql = _filtered(sql, duck("{0} IS NOT NULL", value.sql))
        return Value(sql, value.type)

    return build


def _by(name: str) -> Builder:
    def build(call: Call) -> Value:
        key = call.value(1)
        if key.type.is_nested:
            sql = aggregate_call(name, call.value(0).sql, order_key(key, call.node))
            return Value(_filtered(sql, duck("{0} IS NOT NULL", key.sql)), call.value(0).type)
        return Value(aggregate_call(name, call.value(0).sql, key.sql), call.value(0).type)

    return build


def _boolean(name: str) -> Builder:
    def build(call: Call) -> Value:
        test = to_boolean(call.value(0), call.node, f"{call.name}")
        return Value(aggregate_call(name, test.sql), BOOLEAN)

    return build


def _count_if(call: Call) -> Value:
    test = to_boolean(call.value(0), call.node, "count_if")
    return Value(_filtered(aggregate_call("count", exp.Star()), test.sql), BIGINT)


def _percentile(call: Call) -> Value:
    if len(call) > 2:
        raise unsupported(call.node, "percentile with frequencies", "repeat the rows, or use percentile(x, p)")
    return _quantile(call, "quantile_cont", coerce(_number(call), DOUBLE, call.node), call.value(1))


def _percentile_approx(call: Call) -> Value:
    value = _number(call) if call.value(0).type.kind not in ("date", "timestamp") else call.value(0)
    return _quantile(call, "quantile_disc", value, call.value(1))


def _quantile(call: Call, name: str, value: Value, share: Value) -> Value:
    shares = share.sql.expressions if isinstance(share.sql, exp.Array) else [share.sql]
    for each in shares:
        digits = each.this if isinstance(each, exp.Cast) else each
        if not isinstance(digits, exp.Literal) or digits.is_string:
            raise unsupported(call.node, f"{call.name} of a computed share", "write it out: 0.5, or array(0.25, 0.75)")
        if not 0 <= float(digits.name) <= 1:
            raise misfit(call.node, f"{call.name} at {digits.name}", "need a share from 0 to 1")
    if share.type.kind == "array":
        share = coerce(share, array(DOUBLE), call.node)
        return Value(aggregate_call(name, value.sql, share.sql), array(value.type))
    return Value(aggregate_call(name, value.sql, coerce(share, DOUBLE, call.node).sql), value.type)


def _percentile_of(name: str) -> Builder:
    """``percentile_cont(0.5) WITHIN GROUP (ORDER BY x)``."""

    def build(call: Call) -> Value:
        terms = call.order.expressions if call.order is not None else []
        if len(terms) != 1:
            raise misfit(call.node, f"{call.name} without WITHIN GROUP", "write WITHIN GROUP (ORDER BY x)")
        if terms[0].args.get("desc"):
            raise unsupported(terms[0], f"{call.name} in descending order", "take 1 - p in ascending order")
        value = settle(call.bind(terms[0].this, call.scope))
        if not value.type.is_numeric:
            raise misfit(terms[0], f"{call.name} of a value of type {value.type}", "need a number")
        return _quantile(call, name, coerce(value, DOUBLE, call.node), call.value(0))

    return build


def _median(call: Call) -> Value:
    value = coerce(_number(call), DOUBLE, call.node)
    return Value(aggregate_call("quantile_cont", value.sql, duck("0.5e0")), DOUBLE)


def _integer_aggregate(name: str) -> Builder:
    def build(call: Call) -> Value:
        value = call.value(0)
        if not value.type.is_integral:
            raise misfit(call.node, f"{call.name} of a value of type {value.type}", "need an integer")
        return Value(aggregate_call(name, value.sql), value.type)

    return build


def _grouping(call: Call) -> Value:
    arguments = [value.sql for value in call.values()]
    type_ = Type("tinyint") if call.name == "grouping" else BIGINT
    return Value(cast_to(aggregate_call("grouping", *arguments), type_), type_)


def _listagg(call: Call) -> Value:
    value = coerce(call.value(0), STRING, call.node)
    separator = coerce(call.value(1), STRING, call.node).sql if len(call) > 1 else exp.Literal.string("")
    if call.distinct:
        raise unsupported(call.node, f"{call.name}(DISTINCT ...)", "use array_join(array_sort(collect_set(x)), ',')")
    if call.order is None:
        return Value(aggregate_call("string_agg", value.sql, separator), STRING)
    from hanse.sql.rendering.windows import order_terms

    terms = order_terms(call.order, call.scope, call.bind)
    joined = mark(
        exp.Anonymous(this="string_agg", expressions=[value.sql, exp.Order(this=separator, expressions=terms)])
    )
    return Value(joined, STRING)


_UNKNOWN_SKETCH = "DuckDB's estimate differs from Spark's; use count(DISTINCT x)"

AGGREGATES: dict[str, Function] = {
    "count": aggregate_function(1, 100, _count, distinct=True),
    "sum": aggregate_function(1, 1, _sum, distinct=True),
    "avg": aggregate_function(1, 1, _avg, distinct=True),
    "min": aggregate_function(1, 1, _extreme("min"), distinct=True),
    "max": aggregate_function(1, 1, _extreme("max"), distinct=True),
    "stddev": aggregate_function(1, 1, _double("stddev_samp"), distinct=True),
    "stddev_pop": aggregate_function(1, 1, _double("stddev_pop"), distinct=True),
    "variance": aggregate_function(1, 1, _double("var_samp"), distinct=True),
    "var_pop": aggregate_function(1, 1, _double("var_pop"), distinct=True),
    "covar_pop": aggregate_function(2, 2, _double("covar_pop")),
    "covar_samp": aggregate_function(2, 2, _double("covar_samp")),
    "corr": aggregate_function(2, 2, _of_pairs("corr", "regr_sxx", "regr_syy")),
    "skewness": aggregate_function(1, 1, _skewness),
    "kurtosis": aggregate_function(1, 1, _kurtosis),
    "regr_slope": aggregate_function(2, 2, _of_pairs("regr_slope", "regr_sxx")),
    "regr_intercept": aggregate_function(2, 2, _double("regr_intercept")),
    "regr_r2": aggregate_function(2, 2, _double("regr_r2")),
    "collect_list": aggregate_function(1, 1, _collect, distinct=True),
    "collect_set": aggregate_function(1, 1, _collect, distinct=True),
    "first": aggregate_function(1, 2, _first("first"), ignore=True),
    "last": aggregate_function(1, 2, _first("last"), ignore=True),
    "any_value": aggregate_function(1, 2, _first("first"), ignore=True),
    "max_by": aggregate_function(2, 2, _by("arg_max_null")),
    "min_by": aggregate_function(2, 2, _by("arg_min_null")),
    "bool_and": aggregate_function(1, 1, _boolean("bool_and")),
    "bool_or": aggregate_function(1, 1, _boolean("bool_or")),
    "count_if": aggregate_function(1, 1, _count_if),
    "percentile": aggregate_function(2, 3, _percentile),
    "percentile_approx": aggregate_function(2, 3, _percentile_approx),
    "percentile_cont": aggregate_function(1, 1, _percentile_of("quantile_cont"), order=True),
    "percentile_disc": aggregate_function(1, 1, _percentile_of("quantile_disc"), order=True),
    "median": aggregate_function(1, 1, _median),
    "bit_and": aggregate_function(1, 1, _integer_aggregate("bit_and")),
    "bit_or": aggregate_function(1, 1, _integer_aggregate("bit_or")),
    "bit_xor": aggregate_function(1, 1, _integer_aggregate("bit_xor")),
    "grouping": aggregate_function(1, 1, _grouping),
    "grouping_id": aggregate_function(1, 64, _grouping),
    "listagg": aggregate_function(1, 2, _listagg, order=True, distinct=True),
    "approx_count_distinct": refused(_UNKNOWN_SKETCH),
    "count_min_sketch": refused("DuckDB has no such sketch"),
    "histogram_numeric": refused("DuckDB's bins differ; use width_bucket and GROUP BY"),
    "mode": refused("ties are broken in another way; count and rank instead"),
}
for _alias, _name in {
    "mean": "avg", "std": "stddev", "stddev_samp": "stddev", "var_samp": "variance", "array_agg": "collect_list",
    "first_value": "first", "last_value": "last", "every": "bool_and", "some": "bool_or", "any": "bool_or",
    "approx_percentile": "percentile_approx", "string_agg": "listagg",
}.items():  # fmt: skip
    AGGREGATES[_alias] = AGGREGATES[_name]
