"""Functions that only stand before OVER: ranks, neighbours, first and last."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.aggregates import Builder, aggregate_call, aggregate_function, ignores_nulls
from hanse.sql.rendering.call import Call, Function
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.templates import cast_to
from hanse.sql.rendering.types import BIGINT, DOUBLE, INT, Type
from hanse.sql.rendering.values import Value
from hanse.sql.rendering.windows import mark

__all__ = ["WINDOW_FUNCTIONS"]


def _ranking(name: str, type_: Type = INT) -> Builder:
    def build(call: Call) -> Value:
        sql = aggregate_call(name, *(call.as_type(index, BIGINT).sql for index in range(len(call))))
        sql.meta["hanse_ranking"] = True
        result = cast_to(sql, type_) if type_ == INT else sql
        result.meta["hanse_needs_order"] = True
        return Value(result, type_)

    return build


def _shifted(name: str) -> Builder:
    def build(call: Call) -> Value:
        value = call.value(0)
        arguments = [value.sql]
        if len(call) > 1:
            arguments.append(coerce(call.value(1), INT, call.node).sql)
        if len(call) > 2:
            arguments.append(coerce(call.value(2), value.type, call.node).sql)
        sql: exp.Expression = aggregate_call(name, *arguments)
        if call.ignore_nulls:
            sql = _window_ignoring(sql)
        sql.meta["hanse_ranking"] = True
        sql.meta["hanse_needs_order"] = True
        return Value(sql, value.type)

    return build


_IGNORING: dict[str, type[exp.Expression]] = {
    "lag": exp.Lag,
    "lead": exp.Lead,
    "first_value": exp.FirstValue,
    "last_value": exp.LastValue,
    "nth_value": exp.NthValue,
}


def _window_ignoring(sql: exp.Expression) -> exp.Expression:
    """``first_value(x IGNORE NULLS)``; sqlglot's generator writes it for its own classes only."""
    keys = ("this", "offset", "default")
    arguments = dict(zip(keys, sql.expressions, strict=False))
    return mark(exp.IgnoreNulls(this=_IGNORING[sql.name](**arguments)))


def _positional(name: str) -> Builder:
    def build(call: Call) -> Value:
        value = call.value(0)
        arguments = [value.sql]
        if name == "nth_value":
            arguments.append(coerce(call.value(1), INT, call.node).sql)
            ignoring = call.ignore_nulls
        else:
            ignoring = ignores_nulls(call) or call.name == "any_value"
        sql = aggregate_call(name, *arguments)
        return Value(_window_ignoring(sql) if ignoring else sql, value.type)

    return build


WINDOW_FUNCTIONS: dict[str, Function] = {
    "row_number": aggregate_function(0, 0, _ranking("row_number")),
    "rank": aggregate_function(0, 0, _ranking("rank")),
    "dense_rank": aggregate_function(0, 0, _ranking("dense_rank")),
    "percent_rank": aggregate_function(0, 0, _ranking("percent_rank", DOUBLE)),
    "cume_dist": aggregate_function(0, 0, _ranking("cume_dist", DOUBLE)),
    "ntile": aggregate_function(1, 1, _ranking("ntile")),
    "lag": aggregate_function(1, 3, _shifted("lag"), ignore=True),
    "lead": aggregate_function(1, 3, _shifted("lead"), ignore=True),
    "first": aggregate_function(1, 2, _positional("first_value"), ignore=True),
    "first_value": aggregate_function(1, 2, _positional("first_value"), ignore=True),
    "any_value": aggregate_function(1, 2, _positional("first_value"), ignore=True),
    "last": aggregate_function(1, 2, _positional("last_value"), ignore=True),
    "last_value": aggregate_function(1, 2, _positional("last_value"), ignore=True),
    "nth_value": aggregate_function(2, 2, _positional("nth_value"), ignore=True),
}
