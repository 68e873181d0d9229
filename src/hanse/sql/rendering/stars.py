"""Stars: ``*``, ``t.*``, ``column_of_structs.*`` and ``* EXCEPT (a)``, written out as columns."""

from __future__ import annotations

from sqlglot import exp

from hanse.errors import BindError, nearest
from hanse.sql.nodes import position_of
from hanse.sql.rendering.scope import Relation, Scope, access
from hanse.sql.rendering.values import Value, misfit, settle, unsupported

__all__ = ["expand_star", "is_star"]

Output = list[tuple[str, Value]]


def is_star(node: exp.Expr) -> bool:
    """Whether a projection is ``*`` or ``x.*``."""
    if isinstance(node, exp.Star):
        return True
    if isinstance(node, exp.Column):
        return isinstance(node.this, exp.Star)
    return isinstance(node, exp.Dot) and isinstance(node.expression, exp.Star)


def expand_star(node: exp.Expr, scope: Scope) -> Output:
    """The columns that a star stands for, in order."""
    star, qualifier = _parts(node)
    output = _qualified(qualifier, node, scope) if qualifier else _all(node, scope)
    for name in ("replace", "rename", "ilike"):
        if star.args.get(name):
            raise unsupported(node, f"* {name.upper()}", "name the columns")
    left_out = star.args.get("except_") or ()
    if not left_out:
        return output
    names = {item.name.lower(): item for item in left_out}
    known = {name.lower() for name, _ in output}
    for lower, item in names.items():
        if lower not in known:
            raise BindError(f"unknown column {item.name} in EXCEPT", nearest(item.name, known), position_of(item))
    return [(name, value) for name, value in output if name.lower() not in names]


def _parts(node: exp.Expr) -> tuple[exp.Star, list[str]]:
    if isinstance(node, exp.Star):
        return node, []
    if isinstance(node, exp.Column):
        return node.this, [part.name for part in node.parts[:-1]]
    names = []
    inner = node.this
    while isinstance(inner, exp.Dot):
        names.append(inner.expression.name)
        inner = inner.this
    head = [part.name for part in inner.parts] if isinstance(inner, exp.Column) else [inner.name]
    return node.expression, [*head, *reversed(names)]


def _all(node: exp.Expr, scope: Scope) -> Output:
    if not scope.relations:
        raise misfit(node, "* without FROM", "name the columns")
    output = [(_spelling(name, scope), value) for name, value in scope.merged.items()]
    for relation in scope.relations:
        output += [pair for pair in _columns(relation) if pair[0].lower() not in relation.hidden]
    return output


def _spelling(lower: str, scope: Scope) -> str:
    for relation in scope.relations:
        for column in relation.columns:
            if column.name.lower() == lower:
                return column.name
    return lower


def _columns(relation: Relation) -> Output:
    return [(column.name, relation.value(column)) for column in relation.columns]


def _qualified(qualifier: list[str], node: exp.Expr, scope: Scope) -> Output:
    lower = [part.lower() for part in qualifier]
    for relation in scope.relations:
        if [*(part.lower() for part in relation.path), relation.name.lower()][-len(lower) :] == lower:
            return _columns(relation)
    base = settle(scope.resolve(qualifier, node))
    if base.type.kind != "struct":
        raise misfit(node, f"{'.'.join(qualifier)}.* of a value of type {base.type}", "only structs have fields")
    return [(name, access(base, name, node)) for name in base.type.names]
