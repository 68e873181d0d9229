"""Calls that sqlglot's own Spark parser made classes of, turned back into calls as they were written."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.values import unsupported

__all__ = ["verbatim"]


def _struct(node: exp.Expr) -> list[exp.Expr]:
    parts: list[exp.Expr] = []
    for item in node.expressions:
        parts += [exp.Literal.string(item.this.name), item.expression]
    return parts


def _datediff(node: exp.Expr) -> list[exp.Expr]:
    def bare(side: exp.Expr) -> exp.Expr:
        return side.this if isinstance(side, exp.TsOrDsToDate) else side

    end, start, unit = bare(node.this), bare(node.expression), node.args.get("unit")
    return [exp.column(unit.name), start, end] if unit else [end, start]


_CLASSES: dict[type[exp.Expr], tuple[str, Callable[[exp.Expr], list[exp.Expr]]]] = {
    exp.DateDiff: ("datediff", _datediff),
    exp.ArrayAgg: ("collect_list", lambda node: [node.this]),
    exp.Coalesce: ("coalesce", lambda node: [node.this, *node.expressions]),
    exp.Concat: ("concat", lambda node: list(node.expressions)),
    exp.Exists: ("exists", lambda node: [node.this, node.expression]),
    exp.Count: ("count", lambda node: [node.this, *node.expressions]),
}
_SAME = (
    exp.Avg,
    exp.Sum,
    exp.Min,
    exp.Max,
    exp.Stddev,
    exp.Explode,
    exp.Upper,
    exp.Lower,
    exp.Abs,
    exp.Length,
)


def verbatim(node: exp.Expr) -> exp.Anonymous:
    """The call that a class stands for.

    Raises:
        UnsupportedError: a class that is not known here.
    """
    if isinstance(node, exp.Anonymous):
        return node
    found = _CLASSES.get(type(node))
    if found is None and isinstance(node, _SAME):
        found = (node.sql_name().lower(), lambda call: [call.this])
    if found is None:
        raise unsupported(node, f"{type(node).__name__} ({node.sql(dialect='spark')})")
    name, arguments = found
    call = exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments(node)])
    call.meta.update(node.meta)
    return call
