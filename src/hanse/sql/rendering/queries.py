"""Queries: WITH, SELECT, set operations, VALUES; each gives a tree for DuckDB and its columns."""

from __future__ import annotations

import msgspec
from sqlglot import exp

from hanse.errors import BindError
from hanse.sql.nodes import position_of
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.expressions import bind, shown
from hanse.sql.rendering.notes import note_columns
from hanse.sql.rendering.scope import Column, Environment, Relation, Scope, told_apart
from hanse.sql.rendering.select import render_select
from hanse.sql.rendering.templates import identifier
from hanse.sql.rendering.types import NULL, Type, common_type, common_types
from hanse.sql.rendering.values import Value, misfit, settle, unsupported
from hanse.sql.rendering.windows import ordered

__all__ = ["Bound", "render_query"]

_MODIFIERS = frozenset({"order", "limit", "offset", "with_"})


class Bound(msgspec.Struct, frozen=True):
    """A rendered query: the tree, and the columns it gives."""

    tree: exp.Query
    columns: tuple[Column, ...]


def render_query(node: exp.Expr, environment: Environment, parent: Scope | None = None) -> Bound:
    """Render a query that stands in ``environment`` and, where it may be correlated, inside ``parent``.

    Raises:
        BindError: a name that does not exist, or columns that do not fit.
        UnsupportedError: something that cannot be carried over.
    """
    with_ = node.args.get("with_")
    ctes: list[exp.CTE] = []
    if with_ is not None:
        environment, ctes = _render_with(with_, environment, parent)
    if isinstance(node, exp.Select):
        tree, columns = render_select(node, environment, parent)
        bound = Bound(tree, columns)
    elif isinstance(node, exp.SetOperation):
        bound = _set_operation(node, environment, parent)
    elif isinstance(node, exp.Subquery):
        bound = _parenthesised(node, environment, parent)
    elif isinstance(node, exp.Values):
        bound = render_values(node, environment, parent)
    else:
        raise unsupported(node, f"{type(node).__name__.upper()} as a query")
    if ctes:
        inner = bound.tree.args.get("with_")
        merged = [*ctes, *(inner.expressions if inner is not None else ())]
        if inner is not None:
            bound.tree.set("with_", None)
        bound.tree.set("with_", exp.With(expressions=merged))
    return bound


def _render_with(with_: exp.With, environment: Environment, parent: Scope | None) -> tuple[Environment, list[exp.CTE]]:
    for name in ("recursive", "search", "cycle", "udfs"):
        if with_.args.get(name):
            raise unsupported(with_, f"WITH {name.upper()}", "write the steps out")
    known = dict(environment.ctes)
    rendered = []
    seen: set[str] = set()
    for cte in with_.expressions:
        name = cte.alias
        if name.lower() in seen:
            raise misfit(cte.args["alias"], f"two CTEs called {name}", "rename one")
        seen.add(name.lower())
        if cte.args.get("materialized") is not None or cte.args.get("key_expressions"):
            raise unsupported(cte, "MATERIALIZED")
        bound = render_query(cte.this, msgspec.structs.replace(environment, ctes=dict(known)), parent)
        columns = told_apart(_renamed(bound.columns, cte.args["alias"].args.get("columns"), cte.args["alias"]))
        named = [identifier(column.key) for column in columns] if columns != bound.columns else None
        alias = exp.TableAlias(this=identifier(name), columns=named)
        rendered.append(exp.CTE(this=bound.tree, alias=alias))
        known[name.lower()] = columns
    return msgspec.structs.replace(environment, ctes=known), rendered


def _renamed(columns: tuple[Column, ...], names: list[exp.Expr] | None, node: exp.Expr) -> tuple[Column, ...]:
    if not names:
        return columns
    if len(names) != len(columns):
        raise misfit(node, f"{len(names)} column names for {len(columns)} columns", "name each once")
    return tuple(Column(name.name, column.type) for name, column in zip(names, columns, strict=True))


def _check_modifiers(node: exp.Expr, allowed: frozenset[str]) -> None:
    for name, value in node.args.items():
        if value not in (None, False, [], "") and name not in allowed:
            raise unsupported(value if isinstance(value, exp.Expr) else node, f"{name.upper().strip('_')} here")


def _set_operation(node: exp.SetOperation, environment: Environment, parent: Scope | None) -> Bound:
    _check_modifiers(node, _MODIFIERS | {"this", "expression", "distinct"})
    left = render_query(node.this, environment, parent)
    right = render_query(node.expression, environment, parent)
    name = type(node).__name__.upper()
    if len(left.columns) != len(right.columns):
        what = f"{name} of {len(left.columns)} and {len(right.columns)} columns"
        raise misfit(node.expression, what, "both sides need as many")
    columns = []
    for a, b in zip(left.columns, right.columns, strict=True):
        target = common_type(_settled(a), _settled(b))
        if target is None:
            what = f"{name} of column {a.name}: {a.type} with {b.type}"
            raise misfit(node.expression, what, "cast one to the other's type")
        columns.append(Column(a.name, target))
    for side, operand in ((left, node.this), (right, node.expression)):
        note_columns(
            operand, [(c.name, _settled(c), wanted.type) for c, wanted in zip(side.columns, columns, strict=True)]
        )
    sides = [_as_columns(side, tuple(columns)) for side in (left, right)]
    tree = type(node)(this=_operand(sides[0]), expression=_operand(sides[1]), distinct=node.args.get("distinct"))
    _modify(tree, node, tuple(columns), environment, parent)
    return Bound(tree, tuple(columns))


def _settled(column: Column) -> Type:
    """A column's type with foreign ones settled."""
    return settle(Value(exp.Null(), column.type)).type


def _as_columns(bound: Bound, columns: tuple[Column, ...]) -> exp.Query:
    """The query, its columns cast to the types that a set operation asks for."""
    if all(mine.type in (NULL, theirs.type) for mine, theirs in zip(bound.columns, columns, strict=True)):
        return bound.tree
    names = [f"_{i}" for i in range(len(columns))]
    alias = exp.TableAlias(this=exp.to_identifier("_s"), columns=[exp.to_identifier(name) for name in names])
    projections = []
    for name, mine, theirs in zip(names, bound.columns, columns, strict=True):
        column = exp.Column(this=exp.to_identifier(name), table=exp.to_identifier("_s"))
        value = coerce(Value(column, mine.type), theirs.type)
        projections.append(exp.Alias(this=value.sql, alias=identifier(theirs.name)))
    subquery = exp.Subquery(this=bound.tree, alias=alias)
    return exp.Select(expressions=projections).from_(subquery)


def _operand(tree: exp.Query) -> exp.Expr:
    modified = any(tree.args.get(key) for key in ("order", "limit", "offset", "with_"))
    return exp.Subquery(this=tree) if modified or isinstance(tree, exp.SetOperation) else tree


def _parenthesised(node: exp.Subquery, environment: Environment, parent: Scope | None) -> Bound:
    _check_modifiers(node, _MODIFIERS | {"this", "alias"})
    bound = render_query(node.this, environment, parent)
    if not any(node.args.get(key) for key in ("order", "limit", "offset")):
        return bound
    tree = _all_of(exp.Subquery(this=bound.tree), "_p", bound.columns)
    _modify(tree, node, bound.columns, environment, parent)
    return Bound(tree, bound.columns)


def _all_of(source: exp.Expr, name: str, columns: tuple[Column, ...], *, named: bool = False) -> exp.Select:
    """``SELECT *`` of a source that is called ``name``; ``named``: and whose columns get their names there."""
    apart = told_apart(columns)
    shared = apart != columns
    keys = [identifier(column.key) for column in apart] if named or shared else None
    source.set("alias", exp.TableAlias(this=exp.to_identifier(name), columns=keys))
    if not shared:
        return exp.Select(expressions=[exp.Star()]).from_(source)
    values = [Relation(name, apart).value(column).sql for column in apart]
    listed = [exp.Alias(this=sql, alias=identifier(c.name)) for sql, c in zip(values, columns, strict=True)]
    return exp.Select(expressions=listed).from_(source)


def _modify(
    tree: exp.Query,
    node: exp.Expr,
    columns: tuple[Column, ...],
    environment: Environment,
    parent: Scope | None,
) -> None:
    """ORDER BY, LIMIT and OFFSET over a query's own columns."""
    order = node.args.get("order")
    if order is not None:
        terms = []
        for term in order.expressions:
            terms.append(ordered(_output_term(term.this, columns, environment, parent), term))
        tree.set("order", exp.Order(expressions=terms))
    for key in ("limit", "offset"):
        limit = node.args.get(key)
        if limit is not None:
            tree.set(key, render_limit(limit, environment))


def _output_term(
    node: exp.Expr, columns: tuple[Column, ...], environment: Environment, parent: Scope | None
) -> exp.Expr:
    if isinstance(node, exp.Literal) and not node.is_string:
        if not 1 <= int(node.name) <= len(columns):
            raise misfit(node, f"ORDER BY {node.name} of {len(columns)} columns", "give a column's number or name")
        return node.copy()
    apart = told_apart(columns)
    scope = Scope(environment, None, [Relation("_o", apart)])
    scope.clause = "ORDER BY"
    value = settle(bind(node, scope))
    if not isinstance(value.sql, exp.Column):
        raise unsupported(node, f"ORDER BY {shown(node)} over a set operation", "wrap it in SELECT * FROM (...)")
    if apart != columns:  # what the engine calls such a column is its own affair
        return exp.Literal.number([column.key for column in apart].index(value.sql.name) + 1)
    return exp.Column(this=value.sql.this.copy())


def render_limit(node: exp.Expr, environment: Environment) -> exp.Expr:
    """LIMIT and OFFSET: a number, or an expression of numbers."""
    if not isinstance(node, (exp.Limit, exp.Offset)):
        raise unsupported(node, f"{type(node).__name__.upper()}", "use LIMIT")
    for name, value in node.args.items():
        if name not in ("expression",) and value not in (None, False, []):
            raise unsupported(node, f"{name.upper()} in {type(node).__name__.upper()}")
    count = bind(node.expression, Scope(environment, clause=type(node).__name__.upper()))
    if not count.type.is_integral:
        raise misfit(node, f"{type(node).__name__.upper()} {shown(node.expression)}", "need a whole number")
    return type(node)(expression=count.sql)


def render_values(node: exp.Values, environment: Environment, parent: Scope | None) -> Bound:
    """VALUES: one type per column; the columns are called col1, col2 ..."""
    _check_modifiers(node, frozenset({"expressions", "alias", "with_", "order", "limit", "offset"}))
    scope = Scope(environment, parent, clause="VALUES")
    rows = []
    for row in node.expressions:
        items = row.expressions if isinstance(row, exp.Tuple) else [row.unnest()]
        rows.append([settle(bind(item, scope)) for item in items])
    width = len(rows[0])
    for row, source in zip(rows, node.expressions, strict=True):
        if len(row) != width:
            raise BindError(
                f"VALUES rows of {width} and {len(row)} values", "need as many in each", position_of(source)
            )
    types = [common_types([row[i].type for row in rows]) for i in range(width)]
    for index, type_ in enumerate(types):
        if type_ is None:
            raise misfit(node, f"VALUES column {index + 1} of different types", "cast them to one type")
    alias = node.args.get("alias")
    names = [column.name for column in (alias.args.get("columns") or ())] if alias is not None else []
    if names and len(names) != width:
        raise misfit(alias, f"{len(names)} column names for {width} columns", "name each once")
    columns = tuple(
        Column(names[i] if names else f"col{i + 1}", type_) for i, type_ in enumerate(types) if type_ is not None
    )
    tuples = [
        exp.Tuple(
            expressions=[coerce(value, column.type, node).sql for value, column in zip(row, columns, strict=True)]
        )
        for row in rows
    ]
    tree = _all_of(exp.Values(expressions=tuples), "_v", columns, named=True)
    _modify(tree, node, columns, environment, parent)
    return Bound(tree, columns)
