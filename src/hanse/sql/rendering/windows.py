"""OVER and FILTER, put around the aggregates of a rewrite."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.scope import Scope
from hanse.sql.rendering.templates import duck
from hanse.sql.rendering.types import INT, Type
from hanse.sql.rendering.values import Value, misfit, settle, unsupported

__all__ = ["apply_filter", "mark", "order_terms", "window_over"]

Bind = Callable[[exp.Expr, Scope], Value]
_MARK = "hanse_aggregate"


def mark(node: exp.Expression) -> exp.Expression:
    """Remember that a call is an aggregate of DuckDB's, for FILTER and OVER to be put around it."""
    node.meta[_MARK] = True
    return node


def is_marked(node: exp.Expr) -> bool:
    """Whether a call is an aggregate."""
    return bool(node.meta.get(_MARK))


def _around(sql: exp.Expr, wrap: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """``wrap`` put around every outermost aggregate of a rewrite."""
    if is_marked(sql):
        return wrap(sql)
    for node in list(sql.walk(prune=is_marked)):
        if is_marked(node):
            node.replace(wrap(node.copy()))
    return sql


def apply_filter(sql: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """``aggregate FILTER (WHERE condition)``; a filter that the rewrite brought is kept too."""

    def wrap(node: exp.Expr) -> exp.Expr:
        test = condition.copy()
        if isinstance(node, exp.Filter):
            both = exp.And(this=_paren(node.expression.this), expression=_paren(test))
            inner = exp.Filter(this=node.this, expression=exp.Where(this=both))
        else:
            inner = exp.Filter(this=node, expression=exp.Where(this=test))
        return mark(inner)

    return _around(sql, wrap)


def _paren(node: exp.Expr) -> exp.Expr:
    return exp.Paren(this=node.copy()) if isinstance(node, exp.Or) else node.copy()


def order_terms(order: exp.Order | None, scope: Scope, bind: Bind) -> list[exp.Ordered]:
    """ORDER BY's terms with where NULLs stand written out: first, unless descending."""
    terms = []
    for term in order.expressions if order is not None else ():
        value = settle(bind(term.this, scope))
        if value.type.is_nested:
            raise unsupported(term, f"ORDER BY a value of type {value.type}", "order by its parts")
        terms.append(ordered(value.sql, term))
    return terms


def ordered(sql: exp.Expr, term: exp.Ordered) -> exp.Ordered:
    """One term, with Spark's place for NULLs."""
    if term.args.get("with_fill") is not None:
        raise unsupported(term, "WITH FILL")
    first = term.args.get("nulls_first")
    desc = bool(term.args.get("desc"))
    return exp.Ordered(this=sql, desc=desc, nulls_first=bool(first))


def window_over(value: Value, node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    """``value OVER (...)``."""
    root = scope.root()
    if node.args.get("over") not in (None, "OVER"):
        raise unsupported(node, f"{node.args['over']} of a window function")
    definition, names = node, set[str]()
    while (alias := definition.args.get("alias")) is not None:  # a window may be called like another
        name = alias.name.lower()
        if name in names or name not in root.windows:
            raise misfit(alias, f"unknown window {alias.name}", "name it in WINDOW name AS (...)")
        names.add(name)
        definition = root.windows[name]
    partition = [settle(bind(item, scope)).sql for item in definition.args.get("partition_by") or ()]
    order = definition.args.get("order")
    terms = order_terms(order, scope, bind)
    key = settle(bind(order.expressions[0].this, scope)).type if order is not None and len(terms) == 1 else None
    spec = _frame(definition.args.get("spec"), key, scope, bind)

    def wrap(inner: exp.Expr) -> exp.Expr:
        ranking = inner.meta.get("hanse_ranking")
        return mark(
            exp.Window(
                this=inner,
                partition_by=[item.copy() for item in partition] or None,
                order=exp.Order(expressions=[term.copy() for term in terms]) if terms else None,
                spec=spec.copy() if spec is not None and not ranking else None,
                over="OVER",
            )
        )

    if value.sql.meta.get("hanse_needs_order") and not terms:
        raise misfit(node, f"{value.sql.name or 'a ranking function'} without ORDER BY", "write OVER (ORDER BY ...)")
    return Value(_unmark(_around(value.sql, wrap)), value.type)


def _unmark(sql: exp.Expr) -> exp.Expr:
    for node in sql.walk():
        if isinstance(node, exp.Window):
            node.meta.pop(_MARK, None)
            inner = node.this
            while isinstance(inner, exp.Expr):
                inner.meta.pop(_MARK, None)
                inner = inner.this
    return sql


def _frame(spec: exp.WindowSpec | None, key: Type | None, scope: Scope, bind: Bind) -> exp.WindowSpec | None:
    if spec is None:
        return None
    if spec.args.get("exclude"):
        raise unsupported(spec, "EXCLUDE in a window's frame")
    kind = str(spec.args["kind"]).upper()
    if kind not in ("ROWS", "RANGE"):
        raise unsupported(spec, f"a window's frame of {kind}", "use ROWS or RANGE")
    bounds = {}
    for side in ("start", "end"):
        bound = spec.args.get(side)
        if isinstance(bound, exp.Expr):
            bound = _bound(bound, kind, key, scope, bind)
        elif bound is not None:
            bound = str(bound).upper()
        bounds[side] = bound
        direction = spec.args.get(f"{side}_side")
        if bound is not None and bound != "CURRENT ROW" and not direction:
            raise misfit(spec, "a window's frame that names no side", "write PRECEDING or FOLLOWING")
        bounds[f"{side}_side"] = str(direction).upper() if direction else None
    if bounds["start"] is None:
        raise misfit(spec, "a window's frame without a start", "write BETWEEN ... AND ...")
    if bounds["end"] is None:
        bounds["end"], bounds["end_side"] = "CURRENT ROW", None
    return exp.WindowSpec(kind=kind, **bounds)


def _bound(node: exp.Expr, kind: str, key: Type | None, scope: Scope, bind: Bind) -> exp.Expr:
    value = settle(bind(node, scope))
    if kind == "ROWS":
        return coerce(value, INT, node).sql
    if key is not None and key.kind == "date" and value.type.is_integral:
        return duck("to_days({0})", value.sql)
    return value.sql
