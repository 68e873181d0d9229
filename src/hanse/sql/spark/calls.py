"""Calls of functions that answer by setting, written so that none matters; all other calls stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from hanse.sql.rendering.notes import type_of
from hanse.sql.rendering.spark_types import CASTS
from hanse.sql.rendering.types import (
    BIGINT,
    DATE,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    Type,
)
from hanse.sql.spark.casts import written_cast
from hanse.sql.spark.texts import cast_as, spark

__all__ = ["CALLS"]

Rewrite = Callable[[exp.Expr, Sequence[exp.Expr]], exp.Expr]
"""From a call and its written arguments to what stands in its place."""


def _renamed(name: str) -> Rewrite:
    return lambda node, arguments: exp.Anonymous(this=name, expressions=list(arguments))


def _template(text: str) -> Rewrite:
    return lambda node, arguments: spark(text, *arguments)


def _cast(type_: Type) -> Rewrite:
    return lambda node, arguments: written_cast(arguments[0], _type(node, 0), type_)


def _type(node: exp.Expr, index: int) -> Type:
    return type_of(node.expressions[index]) or NULL


def _nullif(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    a, b = node.expressions
    if type_of(a) == type_of(b):
        return exp.Anonymous(this="nullif", expressions=list(arguments))
    return spark("CASE WHEN {0} = {1} THEN NULL ELSE {2} END", *arguments, _uncast(arguments[0], node))


def _uncast(argument: exp.Expr, node: exp.Expr) -> exp.Expr:
    return argument.this if isinstance(argument, (exp.Cast, exp.TryCast)) and not _is_cast(node) else argument


def _is_cast(node: exp.Expr) -> bool:
    return isinstance(node.expressions[0], (exp.Cast, exp.TryCast))


def _parsed(name: str, type_: Type) -> Rewrite:
    """to_date and to_timestamp of texts; a time needs no parsing."""

    def rewrite(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
        given = _type(node, 0)
        if given.kind in ("date", "timestamp"):
            return arguments[0] if given == type_ else cast_as(arguments[0], type_)
        if len(arguments) == 1:
            return written_cast(_bare(arguments[0]), given, type_) if given == STRING else arguments[0]
        return exp.Anonymous(this=name, expressions=list(arguments))

    return rewrite


def _bare(argument: exp.Expr) -> exp.Expr:
    return argument.this if isinstance(argument, exp.TryCast) else argument


def _unix_timestamp(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    if not arguments or _type(node, 0).kind in ("date", "timestamp"):
        return exp.Anonymous(this="unix_timestamp", expressions=list(arguments[:1]))
    pattern = arguments[1] if len(arguments) > 1 else exp.Literal.string("yyyy-MM-dd HH:mm:ss")
    return spark("unix_timestamp(try_to_timestamp({0}, {1}))", arguments[0], pattern)


_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def _next_day(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    if node.expressions[1].name.upper()[:2] not in _DAYS:
        return cast_as(exp.Null(), DATE)
    return exp.Anonymous(this="next_day", expressions=list(arguments))


def _extract(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    return exp.Anonymous(this="date_part", expressions=[exp.Literal.string(node.expressions[0].name), arguments[1]])


def _make_date(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    text = "TRY_CAST(concat(lpad(CAST({0} AS STRING), 4, '0'), '-', {1}, '-', {2}) AS DATE)"
    return spark(text, *arguments)


def _narrow(index: int) -> Rewrite:
    """An argument that has to be an INT."""

    def rewrite(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
        given = list(arguments)
        if _type(node, index) == BIGINT:
            given[index] = written_cast(given[index], BIGINT, INT)
        return exp.Anonymous(this=node.name, expressions=given)

    return rewrite


def _size(node: exp.Expr, arguments: Sequence[exp.Expr]) -> exp.Expr:
    """With ANSI off, the size of NULL is -1."""
    if _type(node, 0) == NULL:
        return exp.Literal.number(-1)
    return spark("coalesce(size({0}), -1)", arguments[0])


CALLS: dict[str, Rewrite] = {
    "size": _size,
    "cardinality": _size,
    "element_at": _renamed("try_element_at"),
    "mod": _renamed("try_mod"),
    "pmod": _template("pmod({0}, nullif({1}, 0))"),
    "nullif": _nullif,
    "equal_null": _template("{0} <=> {1}"),
    "to_date": _parsed("try_to_date", DATE),
    "try_to_date": _parsed("try_to_date", DATE),
    "to_timestamp": _parsed("try_to_timestamp", TIMESTAMP),
    "try_to_timestamp": _parsed("try_to_timestamp", TIMESTAMP),
    "unix_timestamp": _unix_timestamp,
    "to_unix_timestamp": _unix_timestamp,
    "next_day": _next_day,
    "make_date": _make_date,
    "make_timestamp": _renamed("try_make_timestamp"),
    "extract": _extract,
    "date_part": _extract,
    "datepart": _extract,
    "date_add": _narrow(1),
    "date_sub": _narrow(1),
    "localtimestamp": _renamed("current_timestamp"),
    **{name: _cast(type_) for name, type_ in CASTS.items()},
}
"""By name, lower case."""
