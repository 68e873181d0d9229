"""Arithmetic whose answer no setting changes: NULL by zero, an error where an integer overflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlglot import exp

from hanse.sql.rendering.notes import type_of
from hanse.sql.rendering.types import Type
from hanse.sql.rendering.values import Value, shown
from hanse.sql.spark.texts import overflow, spark

__all__ = ["arithmetic", "divided", "negated"]

Write = Callable[[exp.Expr], exp.Expr]

_TRIED: dict[type[exp.Expr], str] = {exp.Add: "try_add", exp.Sub: "try_subtract", exp.Mul: "try_multiply"}
_SYMBOLS: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}


def arithmetic(node: exp.Expr, write: Write, groups: Sequence[exp.Expr]) -> exp.Expr:
    """``a + b``, ``a - b`` or ``a * b``.

    Args:
        node: in the script's tree.
        write: writes an operand.
        groups: the keys of GROUP BY: whole terms, never looked into.
    """
    left, right = write(node.this), write(node.expression)
    type_ = type_of(node)
    if type_ is not None and type_.kind == "decimal" and type_.precision == 38:
        return exp.Anonymous(this=_TRIED[type(node)], expressions=[left, right])
    if type_ is None or not type_.is_integral or _fits(node):
        return spark(f"{{0}} {_SYMBOLS[type(node)]} {{1}}", left, right)
    tried = exp.Anonymous(this=_TRIED[type(node)], expressions=[left, right])
    if _inside(node, groups):
        return tried
    return _checked(tried, node, write, groups)


def _checked(tried: exp.Expr, node: exp.Expr, write: Write, groups: Sequence[exp.Expr]) -> exp.Expr:
    """``tried``, or an error where it is NULL and no term is."""
    terms: list[exp.Expr] = []
    for term in _terms(node, groups):
        sql = write(term)
        if not isinstance(sql, exp.Literal) and sql not in terms:
            terms.append(sql)
    test: exp.Expr = exp.true()
    for number, term in enumerate(terms):
        known = spark("{0} IS NOT NULL", term)
        test = known if number == 0 else exp.And(this=test, expression=known)
    stop = exp.Case(ifs=[exp.If(this=test, true=overflow(shown(node)))])
    return exp.Coalesce(this=tried, expressions=[stop])


def _is_sum(node: exp.Expr | None) -> bool:
    if not isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        return False
    type_ = type_of(node)
    return type_ is not None and type_.is_integral and not _fits(node)


def _inside(node: exp.Expr, groups: Sequence[exp.Expr]) -> bool:
    """Whether a larger sum around ``node`` is checked."""
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return _is_sum(parent) and node not in groups


def _terms(node: exp.Expr, groups: Sequence[exp.Expr]) -> Iterator[exp.Expr]:
    for side in (node.this, node.expression):
        inner = side.unnest()
        if _is_sum(inner) and inner not in groups:
            yield from _terms(inner, groups)
        else:
            yield side


_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}


def _fits(node: exp.Expr) -> bool:
    """Whether only literals are added up, and their sum fits its type."""
    value, type_ = _constant(node), type_of(node)
    half = 2 ** (_BITS[type_.kind] - 1) if type_ is not None and type_.is_integral else 0
    return value is not None and -half <= value < half


def _constant(node: exp.Expr) -> int | None:
    node = node.unnest()
    if isinstance(node, exp.Neg):
        inner = _constant(node.this)
        return None if inner is None else -inner
    if not isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        return Value(node, Type("bigint")).integer
    left, right = _constant(node.this), _constant(node.expression)
    if left is None or right is None:
        return None
    return {exp.Add: left + right, exp.Sub: left - right, exp.Mul: left * right}[type(node)]


def negated(node: exp.Expr, write: Write) -> exp.Expr:
    """``-a``; the least integer has no opposite."""
    inner, type_ = write(node.this), type_of(node)
    if type_ is None or not type_.is_integral or isinstance(inner, exp.Literal):
        return spark("-{0}", inner)
    tried = exp.Anonymous(this="try_subtract", expressions=[exp.Literal.number(0), inner])
    stop = spark("CASE WHEN {0} IS NOT NULL THEN {1} END", inner, overflow(shown(node)))
    return exp.Coalesce(this=tried, expressions=[stop])


def divided(node: exp.Expr, left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """``a / b``, ``a % b`` or ``a div b``: NULL where ``b`` is zero."""
    safe = isinstance(right, exp.Literal) and not right.is_string and float(right.name) != 0
    if isinstance(node, exp.IntDiv):
        return spark("{0} DIV {1}" if safe else "{0} DIV nullif({1}, 0)", left, right)
    type_ = type_of(node)
    if safe and (type_ is None or type_.kind != "decimal" or type_.precision < 38):
        return spark("{0} / {1}" if isinstance(node, exp.Div) else "{0} % {1}", left, right)
    name = "try_divide" if isinstance(node, exp.Div) else "try_mod"
    return exp.Anonymous(this=name, expressions=[left, right])
