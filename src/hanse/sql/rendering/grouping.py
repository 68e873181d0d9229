"""GROUP BY: keys, ROLLUP, CUBE and GROUPING SETS; and the check that nothing ungrouped is selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlglot import exp

from hanse.errors import BindError
from hanse.sql.nodes import position_of
from hanse.sql.rendering.expressions import bind, shown
from hanse.sql.rendering.scope import Scope
from hanse.sql.rendering.templates import duck
from hanse.sql.rendering.values import Value, misfit, unsupported
from hanse.sql.rendering.windows import is_marked

__all__ = ["check_grouped", "render_group"]

Output = list[tuple[str, Value]]


def render_group(node: exp.Select, tree: exp.Select, scope: Scope, output: Output) -> list[exp.Expr] | None:
    """Render GROUP BY into ``tree``; gives its keys, or None where there is no GROUP BY."""
    group = node.args.get("group")
    if group is None:
        return None
    scope.clause = "GROUP BY"
    if group.args.get("totals") is not None:
        raise unsupported(group, "WITH TOTALS")
    found: list[exp.Expr] = []

    def term(item: exp.Expr) -> exp.Expr:
        sql = _group_term(item, scope, output)
        found.append(sql)
        return sql.copy()

    def terms(items: Iterable[exp.Expr]) -> list[exp.Expr]:
        return [item for item in (_set(one, term) for one in items) if item is not None]

    rendered = exp.Group()
    if group.args.get("all"):
        keys = [value.sql for _, value in output if not _has_aggregate(value.sql)]
        found += keys
        rendered.set("expressions", [key.copy() for key in keys])
    else:
        expressions = terms(group.expressions)
        if group.args.get("grouping_sets"):  # GROUP BY a, b GROUPING SETS ((a), ()): the sets say it all
            expressions = []
        for name, class_ in (("rollup", exp.Rollup), ("cube", exp.Cube)):
            for item in group.args.get(name) or ():
                inner = terms(item.expressions) if item.expressions else expressions
                if not item.expressions:
                    expressions = []
                expressions.append(class_(expressions=inner))
        for item in group.args.get("grouping_sets") or ():
            expressions.append(exp.GroupingSets(expressions=terms(item.expressions)))
        rendered.set("expressions", expressions)
    if rendered.expressions:
        tree.set("group", rendered)
    if any(isinstance(one, (exp.Rollup, exp.Cube, exp.GroupingSets)) for one in rendered.expressions):
        tree.set("having", exp.Having(this=duck("count(*) > 0")))  # of no rows, Spark makes no grand total either
    return found


def _set(item: exp.Expr, term: Callable[[exp.Expr], exp.Expr]) -> exp.Expr | None:
    """A member of GROUP BY: an expression, a tuple, ROLLUP, CUBE or GROUPING SETS."""
    if isinstance(item, (exp.Rollup, exp.Cube, exp.GroupingSets)):
        return type(item)(expressions=[inner for one in item.expressions if (inner := _set(one, term)) is not None])
    if isinstance(item, exp.Tuple):
        return exp.Tuple(expressions=[term(one) for one in item.expressions])
    return term(item)


def _group_term(item: exp.Expr, scope: Scope, output: Output) -> exp.Expr:
    item = item.unnest() if isinstance(item, exp.Paren) else item
    if isinstance(item, exp.Literal) and not item.is_string:
        index = int(item.name) if item.name.isdigit() else 0
        if not 1 <= index <= len(output):
            raise misfit(item, f"GROUP BY {item.name} of {len(output)} columns", "give a column's number or name")
        value = output[index - 1][1]
    else:
        value = bind(item, scope)
    if _has_aggregate(value.sql):
        raise misfit(item, f"GROUP BY {shown(item)}, which is an aggregate", "group by what is not aggregated")
    if value.type.kind == "map":
        raise unsupported(item, f"GROUP BY a value of type {value.type}", "group by map_entries(...) or a field")
    return value.sql


def _has_aggregate(sql: exp.Expr) -> bool:
    return any(is_marked(inner) for inner in sql.walk())


def check_grouped(expressions: Iterable[tuple[exp.Expr, exp.Expr]], groups: list[exp.Expr]) -> None:
    """Raise BindError where a column is neither grouped nor aggregated.

    Args:
        expressions: rendered, each with its source for the position.
        groups: the keys of GROUP BY, rendered.
    """
    for sql, source in expressions:
        for call in sql.find_all(exp.Anonymous):
            if call.name == "grouping" and any(argument not in groups for argument in call.expressions):
                raise BindError("grouping of what is not grouped", "name it in GROUP BY", position_of(source))
        column = _ungrouped(sql, groups)
        if column is not None:
            what = f"{column.name} is neither grouped nor aggregated"
            raise BindError(what, "add it to GROUP BY, or take first(...)", position_of(source))


def _ungrouped(sql: exp.Expr, groups: list[exp.Expr]) -> exp.Column | None:
    """The first column that stands outside every group and aggregate."""
    if sql in groups or is_marked(sql) or isinstance(sql, (exp.Query, exp.Subquery)):
        return None
    if isinstance(sql, exp.Column):
        return sql if sql.args.get("table") is not None and not sql.meta.get("hanse_outer") else None
    for child in sql.iter_expressions():
        found = _ungrouped(child, groups)
        if found is not None:
            return found
    return None
