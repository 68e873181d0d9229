"""FROM: tables, files, subqueries, joins, LATERAL VIEW, PIVOT; what each brings into sight."""

from __future__ import annotations

import msgspec
from sqlglot import exp

from hanse.errors import BindError, nearest
from hanse.sql.nodes import position_of
from hanse.sql.rendering import operators
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.expressions import bind, condition, shown
from hanse.sql.rendering.files import file_source
from hanse.sql.rendering.generators import generate, generator_of
from hanse.sql.rendering.pivots import render_pivot
from hanse.sql.rendering.scope import Column, Relation, Scope, told_apart
from hanse.sql.rendering.templates import duck, identifier
from hanse.sql.rendering.types import BIGINT, common_type, parse_type
from hanse.sql.rendering.values import Value, misfit, unsupported

__all__ = ["render_from"]

_TABLE = frozenset({"this", "db", "catalog", "alias", "pivots", "joins", "sample"})
_SUBQUERY = frozenset({"this", "alias", "pivots", "joins", "sample"})


def render_from(node: exp.Select, tree: exp.Select, scope: Scope) -> None:
    """Render FROM, the joins and the LATERAL VIEWs of a SELECT into ``tree``; ``scope`` gets their relations."""
    scope.clause = "FROM"
    from_ = node.args.get("from_")
    if from_ is None:
        if node.args.get("laterals") or node.args.get("joins"):
            raise unsupported(node, "LATERAL VIEW or a join without FROM", "write FROM ... LATERAL VIEW ...")
        return
    tree.set("from_", exp.From(this=_relation(from_.this, scope, root=True)))
    joins = [*(from_.this.args.get("joins") or ()), *(node.args.get("joins") or ())]
    rendered = [_join(join, scope) for join in joins]
    laterals = [*(from_.this.args.get("laterals") or ()), *(node.args.get("laterals") or ())]
    rendered += [_lateral_view(lateral, scope) for lateral in laterals]
    tree.set("joins", rendered)


def _add(scope: Scope, relation: Relation, node: exp.Expr) -> None:
    names = [other.name.lower() for other in scope.relations]
    if relation.name.lower() in names:
        raise misfit(node, f"two relations called {relation.name} in one FROM", "give one an alias")
    scope.relations.append(relation)


def _relation(node: exp.Expr, scope: Scope, *, lateral: bool = False, root: bool = False) -> exp.Expr:
    """Render what stands in FROM, and put it into the scope."""
    if isinstance(node, exp.Table):
        sql, relation = _table(node, scope)
    elif isinstance(node, (exp.Subquery, exp.Values)):
        sql, relation = _subquery(node, scope, lateral)
    elif isinstance(node, exp.Lateral) and not node.args.get("view"):
        return _lateral_subquery(node, scope)
    else:
        raise unsupported(node, f"{type(node).__name__.upper()} in FROM")
    if not root and (node.args.get("joins") or node.args.get("laterals")):
        raise unsupported(node, "a join in parentheses", "name it in a WITH")
    if node.args.get("sample") is not None:
        raise unsupported(node.args["sample"], "TABLESAMPLE", "filter on a hash, or use ORDER BY ... LIMIT")
    for pivot in node.args.get("pivots") or ():
        sql, relation = render_pivot(pivot, sql, relation, scope, bind)
    _add(scope, relation, node)
    return sql


def _alias(node: exp.Expr, columns: tuple[Column, ...]) -> tuple[str, tuple[Column, ...], bool]:
    """An alias and the columns under the names that it gives; and whether the text must name them."""
    alias = node.args.get("alias")
    names = (alias.args.get("columns") or ()) if alias is not None else ()
    if names and len(names) != len(columns):
        raise misfit(alias, f"{len(names)} column names for {len(columns)} columns", "name each once")
    if names:
        columns = tuple(Column(name.name, column.type) for name, column in zip(names, columns, strict=True))
    apart = told_apart(columns)
    return node.alias, apart, bool(names) or apart != columns


def _check_args(node: exp.Expr, allowed: frozenset[str], what: str) -> None:
    for name, value in node.args.items():
        if value not in (None, False, [], "") and name not in allowed:
            raise unsupported(value if isinstance(value, exp.Expr) else node, f"{name.upper().strip('_')} of {what}")


def _table(node: exp.Table, scope: Scope) -> tuple[exp.Expr, Relation]:
    if isinstance(node.this, exp.Func):
        return _table_function(node, scope)
    _check_args(node, _TABLE | {"laterals"}, "a table")
    name = node.name
    cte = scope.environment.ctes.get(name.lower()) if not node.db else None
    if cte is not None:
        alias, columns, renamed = _alias(node, cte)
        sql = exp.Table(this=identifier(name))
        return _aliased(sql, alias, columns if renamed else None), Relation(alias or name, columns)
    known = scope.environment.catalog.columns(node)
    source = file_source(node)
    if known is None and source is not None:
        raise BindError(f"cannot read {name} as {node.db}", "need the path of a file that is there", position_of(node))
    if known is None:
        shown_name = ".".join(part.name for part in node.parts)
        names = [*scope.environment.catalog.tables(), *scope.environment.ctes]
        raise BindError(f"unknown table {shown_name}", nearest(shown_name, names), position_of(node))
    columns = tuple(Column(column, parse_type(type_)) for column, type_ in known.items())
    bare_csv = source is not None and node.db.lower() == "csv"
    if bare_csv:
        columns = tuple(Column(f"_c{index}", column.type) for index, column in enumerate(columns))
    alias, columns, renamed = _alias(node, columns)
    if source is not None:
        alias = alias or scope.fresh_name("file")
        return _aliased(source, alias, columns if renamed or bare_csv else None), Relation(alias, columns)
    path = [part.name for part in node.parts[:-1]]
    sql = exp.Table(
        this=identifier(name),
        db=identifier(node.db) if node.db else None,
        catalog=identifier(node.catalog) if node.catalog else None,
    )
    return _aliased(sql, alias, columns if renamed else None), Relation(alias or name, columns, tuple(path))


def _aliased(sql: exp.Expr, alias: str, columns: tuple[Column, ...] | None) -> exp.Expr:
    if alias or columns:
        names = [identifier(column.key) for column in columns] if columns else None
        sql.set("alias", exp.TableAlias(this=identifier(alias) if alias else None, columns=names))
    return sql


def _table_function(node: exp.Table, scope: Scope) -> tuple[exp.Expr, Relation]:
    _check_args(node, frozenset({"this", "alias", "joins", "pivots", "sample", "laterals"}), "a table function")
    call = generator_of(node.this)
    if call is not None:
        return _generated(call, node, scope)
    name = node.this.name.lower()
    if name != "range":
        known = (
            "range",
            "explode",
            "explode_outer",
            "posexplode",
            "posexplode_outer",
            "inline",
            "inline_outer",
        )
        raise BindError(f"unknown table function {node.this.name}", nearest(name, known), position_of(node))
    arguments = [coerce(bind(argument, scope), BIGINT, argument) for argument in node.this.expressions]
    if not 1 <= len(arguments) <= 3:
        raise misfit(node, f"range with {len(arguments)} arguments", "need 1 to 3")
    sql = exp.Table(this=exp.Anonymous(this="range", expressions=[argument.sql for argument in arguments]))
    alias, columns, _ = _alias(node, (Column("id", BIGINT),))
    alias = alias or scope.fresh_name("range")
    return _aliased(sql, alias, columns), Relation(alias, columns)


def _generated(call: object, node: exp.Expr, scope: Scope) -> tuple[exp.Expr, Relation]:
    alias = node.args.get("alias")
    names = [name.name for name in (alias.args.get("columns") or ())] if alias is not None else []
    output = generate(call, names, scope, bind)  # type: ignore[arg-type]
    name = node.alias or scope.fresh_name("generated")
    projections = [exp.Alias(this=value.sql, alias=identifier(column)) for column, value in output]
    sql = exp.Subquery(this=exp.Select(expressions=projections))
    columns = tuple(Column(column, value.type) for column, value in output)
    apart = told_apart(columns)
    return _aliased(sql, name, apart if apart != columns else None), Relation(name, apart)


def _subquery(node: exp.Expr, scope: Scope, lateral: bool) -> tuple[exp.Expr, Relation]:
    from hanse.sql.rendering.queries import render_query, render_values

    outer = scope if lateral else scope.parent
    if isinstance(node, exp.Values):
        bound = render_values(node, scope.environment, outer)
    else:
        _check_args(node, _SUBQUERY | {"laterals"}, "a subquery")
        if isinstance(node.this, exp.Table):
            raise unsupported(node, "a join in parentheses", "name it in a WITH")
        bound = render_query(node.this, scope.environment, outer)
    alias, columns, renamed = _alias(node, bound.columns)
    alias = alias or scope.fresh_name("q")
    sql = exp.Subquery(this=bound.tree)
    return _aliased(sql, alias, columns if renamed else None), Relation(alias, columns)


def _lateral_subquery(node: exp.Lateral, scope: Scope) -> exp.Expr:
    _check_args(node, frozenset({"this", "alias"}), "LATERAL")
    call = generator_of(node.this)
    if call is not None:
        sql, relation = _generated(call, node, scope)
    else:
        inner = node.this
        if not isinstance(inner, exp.Subquery):
            raise unsupported(node, f"LATERAL {shown(inner)}")
        inner = inner.copy()
        inner.set("alias", node.args.get("alias"))
        sql, relation = _subquery(inner, scope, True)
    alias = sql.args.pop("alias")
    _add(scope, relation, node)
    return exp.Lateral(this=sql, alias=alias)


def _lateral_view(node: exp.Lateral, scope: Scope) -> exp.Join:
    """LATERAL VIEW [OUTER] explode(...) t AS a, b."""
    call = generator_of(node.this, outer=bool(node.args.get("outer")))
    if call is None:
        raise unsupported(node, f"LATERAL VIEW of {shown(node.this)}", "use explode, posexplode, inline or stack")
    sql, relation = _generated(call, node, scope)
    alias = sql.args.pop("alias")
    _add(scope, relation, node)
    return exp.Join(this=exp.Lateral(this=sql, alias=alias), kind="CROSS")


_KINDS = {"": "INNER", "INNER": "INNER", "OUTER": "INNER", "CROSS": "CROSS", "SEMI": "SEMI", "ANTI": "ANTI"}


def _join(node: exp.Join, scope: Scope) -> exp.Join:
    _check_args(node, frozenset({"this", "on", "side", "kind", "using", "method"}), "a join")
    kind, side = (node.args.get("kind") or "").upper(), (node.args.get("side") or "").upper()
    if kind not in _KINDS or side not in ("", "LEFT", "RIGHT", "FULL"):
        raise unsupported(node, f"{side} {kind} JOIN".strip())
    method = (node.args.get("method") or "").upper()
    if method not in ("", "NATURAL"):
        raise unsupported(node, f"{method} JOIN")
    before = list(scope.relations)
    sql = _relation(node.this, scope, lateral=isinstance(node.this, exp.Lateral))
    right = scope.relations[-1]
    semi = kind in ("SEMI", "ANTI")
    join = exp.Join(this=sql, side=side if side and not semi else None, kind=kind if kind != "OUTER" else None)
    names = [name.name for name in node.args.get("using") or ()]
    if method == "NATURAL":
        left_names = {column.name.lower() for relation in before for column in relation.columns}
        names = [column.name for column in right.columns if column.name.lower() in left_names]
    if names:
        join.set("on", _using(names, node, side, before, right, scope, semi))
    elif node.args.get("on") is not None and kind != "CROSS":
        scope.clause = "ON"
        join.set("on", condition(node.args["on"], scope, "ON").sql)
    elif not isinstance(node.this, exp.Lateral) or kind != "CROSS":
        _without_condition(join, node, kind, side)
    if semi:
        scope.relations.pop()
    return join


def _without_condition(join: exp.Join, node: exp.Join, kind: str, side: str) -> None:
    if kind in ("SEMI", "ANTI") or side or node.args.get("on") is not None:
        join.set("on", exp.true())
    else:
        join.set("kind", "CROSS")


def _using(
    names: list[str],
    node: exp.Join,
    side: str,
    before: list[Relation],
    right: Relation,
    scope: Scope,
    semi: bool,
) -> exp.Expr:
    """USING as conditions; its columns stand once, first, in ``*``."""
    tests: exp.Expr | None = None
    left_scope = Scope(scope.environment, None, before, merged=dict(scope.merged))
    right_scope = Scope(scope.environment, None, [right])
    for name in names:
        a, b = left_scope.resolve([name], node), right_scope.resolve([name], node)
        test = operators.compare(exp.EQ, a, b, node).sql
        tests = test if tests is None else exp.And(this=tests, expression=test)
        if semi:
            continue
        merged = b if side == "RIGHT" else a
        if side == "FULL":
            type_ = common_type(a.type, b.type) or a.type
            sides = (coerce(side, type_, node).sql for side in (a, b))
            merged = Value(duck("coalesce({0}, {1})", *sides), type_)
        scope.merged[name.lower()] = merged
    if not semi:
        hidden = frozenset(name.lower() for name in names)
        scope.relations[:] = [msgspec.structs.replace(r, hidden=r.hidden | hidden) for r in scope.relations]
    return tests if tests is not None else exp.true()
