"""One SELECT: its projections, grouping, HAVING, QUALIFY and ORDER BY, as Spark resolves their names."""

from __future__ import annotations

from sqlglot import exp

from hanse.errors import BindError
from hanse.sql.nodes import position_of
from hanse.sql.rendering.expressions import bind, condition, parts_of, shown
from hanse.sql.rendering.generators import generate, generator_of
from hanse.sql.rendering.grouping import check_grouped, render_group
from hanse.sql.rendering.notes import note_name
from hanse.sql.rendering.relations import render_from
from hanse.sql.rendering.scope import Column, Environment, Scope
from hanse.sql.rendering.stars import expand_star, is_star
from hanse.sql.rendering.templates import identifier, simplified
from hanse.sql.rendering.values import Value, misfit, settle, unsupported
from hanse.sql.rendering.windows import ordered

__all__ = ["render_select"]

_HANDLED = frozenset(
    {"with_", "expressions", "distinct", "from_", "laterals", "joins", "where", "group", "having", "qualify", "windows"}
    | {"order", "limit", "offset"}
)
_CURES = {
    "hint": "Hanse does not steer the engine; remove it",
    "sort": "use ORDER BY",
    "cluster": "use ORDER BY",
    "distribute": "use ORDER BY",
    "sample": "filter on a hash, or use ORDER BY ... LIMIT",
}

Output = list[tuple[str, Value]]
Sourced = list[tuple[exp.Expr, exp.Expr]]
"""Rendered expressions, each with its source."""


def render_select(
    node: exp.Select, environment: Environment, parent: Scope | None
) -> tuple[exp.Select, tuple[Column, ...]]:
    """Render a SELECT; gives the tree and its columns."""
    _check(node)
    if not node.expressions:
        raise misfit(node, "SELECT of nothing", "name the columns, or write *")
    scope = Scope(environment, parent)
    tree = exp.Select()
    render_from(node, tree, scope)
    for window in node.args.get("windows") or ():
        scope.windows[window.name.lower()] = window
    if node.args.get("where") is not None:
        scope.clause = "WHERE"
        tree.set("where", exp.Where(this=simplified(condition(node.args["where"].this, scope, "WHERE").sql)))
    output, sources = _projections(node, scope)
    groups = render_group(node, tree, scope, output)
    conditions = _conditions(node, tree, scope, output, groups)
    scope.outputs = dict(scope.aliases)  # ORDER BY sees these before the columns of FROM
    if node.args.get("distinct") is not None:
        if node.args["distinct"].args.get("on") is not None:
            raise unsupported(node.args["distinct"], "DISTINCT ON", "use QUALIFY row_number() OVER (...) = 1")
        tree.set("distinct", exp.Distinct())
    order = _order(node, tree, scope, output)
    if scope.aggregated or groups is not None:
        selected = [(value.sql, source) for (_, value), source in zip(output, sources, strict=True)]
        check_grouped([*selected, *conditions, *order], groups or [])
    elif node.args.get("having") is not None:
        raise misfit(node.args["having"], "HAVING without aggregates", "use WHERE")
    tree.set("expressions", [_named(name, value) for name, value in output])
    _limits(node, tree, environment)
    return tree, tuple(Column(name, value.type) for name, value in output)


def _check(node: exp.Select) -> None:
    for name, value in node.args.items():
        if value not in (None, False, []) and name not in _HANDLED:
            place = value[0] if isinstance(value, list) else value
            raise unsupported(
                place if isinstance(place, exp.Expr) else node, _clause(name, place), _CURES.get(name, "")
            )


def _clause(name: str, value: object) -> str:
    if name == "hint" and isinstance(value, exp.Expr):
        return f"the hint {', '.join(shown(item) for item in value.expressions)}"
    return {
        "sort": "SORT BY",
        "cluster": "CLUSTER BY",
        "distribute": "DISTRIBUTE BY",
        "sample": "TABLESAMPLE",
    }.get(name, name.upper().strip("_"))


def _projections(node: exp.Select, scope: Scope) -> tuple[Output, list[exp.Expr]]:
    scope.clause, scope.aggregates_allowed, scope.windows_allowed = "SELECT", True, True
    output: Output = []
    sources: list[exp.Expr] = []
    generators = 0
    for item in node.expressions:
        sources += [item] * (len(output) - len(sources))
        if is_star(item):
            output += expand_star(item, scope)
            continue
        inner, names = _unaliased(item)
        call = generator_of(inner)
        if call is not None:
            generators += 1
            if generators > 1:
                raise misfit(item, "two generators in one SELECT", "use LATERAL VIEW for the second")
            output += generate(call, names, scope, bind)
            continue
        value = bind(inner, scope)
        if len(names) > 1:
            raise misfit(item, f"{len(names)} names for one column", "name it once")
        name = names[0] if names else _default_name(inner)
        note_name(item, name)
        output.append((name, value))
        if names and name.lower() not in scope.aliases:
            scope.aliases[name.lower()] = value
    if generators and _has_window([value.sql for _, value in output]):
        what = "a window function beside a generator (explode, inline ...) in one SELECT"
        raise unsupported(node, what, "put the generator into a subquery in FROM, or write LATERAL VIEW")
    scope.aggregates_allowed = scope.windows_allowed = False
    sources += node.expressions[-1:] * (len(output) - len(sources))
    return output, sources


def _unaliased(item: exp.Expr) -> tuple[exp.Expr, list[str]]:
    if isinstance(item, exp.Alias):
        return item.this, [item.alias]
    if isinstance(item, exp.Aliases):
        return item.this, [name.name for name in item.aliases]
    return item, []


def _default_name(node: exp.Expr) -> str:
    """As Spark names a column: the last part of a name; else the text of the expression.

    A text is its own name, but that no column of DuckDB's can have an empty one: then it is the two quotes.
    """
    parts = parts_of(node)
    if parts is not None:
        return parts[-1]
    if isinstance(node, exp.Dot):
        return str(node.expression.name)
    if isinstance(node, exp.Paren):
        return _default_name(node.this) if parts_of(node.this) else shown(node)
    if isinstance(node, exp.Literal) and node.is_string:
        return node.name or "''"
    if isinstance(node, exp.TryCast) and not node.args.get("safe"):
        return shown(exp.Cast(this=node.this.copy(), to=node.args["to"].copy()))
    return shown(node)


def _named(name: str, value: Value) -> exp.Expr:
    sql = value.sql
    if (isinstance(sql, exp.Column) and sql.name == name) or (isinstance(sql, exp.Dot) and sql.expression.name == name):
        return sql
    return exp.Alias(this=sql, alias=identifier(name))


def _has_window(expressions: list[exp.Expr]) -> bool:
    return any(sql.find(exp.Window) is not None for sql in expressions)


def _conditions(
    node: exp.Select, tree: exp.Select, scope: Scope, output: Output, groups: list[exp.Expr] | None
) -> Sourced:
    found: Sourced = []
    keys = [] if groups is None and scope.aggregated else groups
    scope.outputs = {name: value for name, value in scope.aliases.items() if not _shadowed(name, scope, keys)}
    for key, class_ in (("having", exp.Having), ("qualify", exp.Qualify)):
        clause = node.args.get(key)
        if clause is None:
            continue
        scope.clause = key.upper()
        scope.aggregates_allowed, scope.windows_allowed = True, key == "qualify"
        test = condition(clause.this, scope, key.upper()).sql
        already = tree.args.get(key)  # that there are rows: grouping sets ask for it
        whole = test if already is None else exp.And(this=already.this, expression=exp.Paren(this=test))
        tree.set(key, class_(this=whole))
        found.append((test, clause.this))
        if key == "qualify" and not _has_window([test, *(value.sql for _, value in output)]):
            raise misfit(clause, "QUALIFY without a window function", "use WHERE or HAVING")
    scope.aggregates_allowed = scope.windows_allowed = False
    return found


def _shadowed(alias: str, scope: Scope, keys: list[exp.Expr] | None) -> bool:
    """Whether HAVING and QUALIFY see a column of FROM by this name: where rows are grouped, one of the keys."""
    columns = [value.sql for relation in scope.relations for value in relation.find(alias, bare=True)]
    return bool(columns) if keys is None else any(column in keys for column in columns)


def _order(node: exp.Select, tree: exp.Select, scope: Scope, output: Output) -> Sourced:
    order = node.args.get("order")
    if order is None:
        return []
    scope.clause, scope.aggregates_allowed, scope.windows_allowed = "ORDER BY", True, True
    rest: Sourced = []
    terms = []
    if order.args.get("siblings"):
        raise unsupported(order, "ORDER SIBLINGS BY")
    for term in order.expressions:
        terms.append(ordered(_order_term(term.this, scope, output, rest, node), term))
    tree.set("order", exp.Order(expressions=terms))
    scope.aggregates_allowed = scope.windows_allowed = False
    return rest


def _order_term(item: exp.Expr, scope: Scope, output: Output, rest: Sourced, node: exp.Select) -> exp.Expr:
    if isinstance(item, exp.Literal) and not item.is_string:
        index = int(item.name) if item.name.isdigit() else 0
        if not 1 <= index <= len(output):
            raise misfit(item, f"ORDER BY {item.name} of {len(output)} columns", "give a column's number or name")
        return exp.Literal.number(index)
    if isinstance(item, exp.Var) and item.name.upper() == "ALL":
        raise unsupported(item, "ORDER BY ALL", "name the columns")
    parts = parts_of(item)
    if parts is not None and len(parts) == 1:
        matches = [i for i, (name, _) in enumerate(output) if name.lower() == parts[0].lower()]
        if matches and output[matches[0]][1].type.is_nested:
            raise unsupported(item, f"ORDER BY a value of type {output[matches[0]][1].type}", "order by its parts")
        if matches:
            same = {output[i][1].sql for i in matches}
            if len(same) > 1:
                raise BindError(f"ambiguous column {parts[0]}", "give the columns aliases", position_of(item))
            return exp.Literal.number(matches[0] + 1)
    value = settle(bind(item, scope))
    if isinstance(value.sql, (exp.Literal, exp.Null, exp.Boolean)):
        raise misfit(item, f"ORDER BY {shown(item)}, which is a constant", "give a column's number or name")
    if value.type.is_nested:
        raise unsupported(item, f"ORDER BY a value of type {value.type}", "order by its parts")
    for index, (_, other) in enumerate(output):
        if other.sql == value.sql:
            return exp.Literal.number(index + 1)
    if node.args.get("distinct") is not None:
        raise misfit(item, f"ORDER BY {shown(item)} with SELECT DISTINCT", "select it too")
    rest.append((value.sql, item))
    return value.sql


def _limits(node: exp.Select, tree: exp.Select, environment: Environment) -> None:
    from hanse.sql.rendering.queries import render_limit

    for key in ("limit", "offset"):
        if node.args.get(key) is not None:
            tree.set(key, render_limit(node.args[key], environment))
