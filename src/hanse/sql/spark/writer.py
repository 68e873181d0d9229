"""A bound tree of the script as a tree that Spark runs: one handler for each class that answers by setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from hanse.sql.rendering.notes import cast_of, columns_of, name_of, stand_in_of, type_of
from hanse.sql.rendering.types import STRING, Type, comparison_type
from hanse.sql.rendering.values import shown
from hanse.sql.spark.arithmetic import arithmetic, divided, negated
from hanse.sql.spark.calls import CALLS
from hanse.sql.spark.casts import implied, written_cast
from hanse.sql.spark.texts import cast_as, overflow, quoted, spark

__all__ = ["write_query"]


def write_query(tree: exp.Query) -> exp.Query:
    """The query, for Spark, of a tree that was bound."""
    written = _Writer([]).write(tree)
    assert isinstance(written, exp.Query)  # no handler makes anything else of a query
    return written


class _Writer:
    """Writes one SELECT and, by writers of their own, the queries within."""

    def __init__(self, groups: list[exp.Expr]) -> None:
        self.groups = groups

    def write(self, node: exp.Expr) -> exp.Expr:
        """A node and all below it; a cast that the script leaves implicit is written around it."""
        stand_in = stand_in_of(node)
        if stand_in is not None and not isinstance(node, _NATIVE):
            sql = self.write(stand_in)
        else:
            handler = _HANDLERS.get(type(node))
            sql = handler(self, node) if handler is not None else self.rebuilt(node)
        target, source = cast_of(node), type_of(node)
        if target is not None and source is not None:
            sql = implied(sql, source, target)
        return sql

    def rebuilt(self, node: exp.Expr) -> exp.Expr:
        """The node as it stands, its parts written."""
        made = type(node)(**{name: self._argument(value) for name, value in node.args.items()})
        made.comments = None
        return made

    def _argument(self, value: object) -> object:
        if isinstance(value, exp.Expr):
            return self.write(value)
        if isinstance(value, list):
            return [self._argument(item) for item in value]
        return value

    # -- queries ----------------------------------------------------------------------------------

    def select(self, node: exp.Expr) -> exp.Expr:
        """SELECT: columns keep the names that they have in the script."""
        group = node.args.get("group")
        inner = _Writer([item.unnest() for item in group.expressions] if group is not None else [])
        made = inner.rebuilt(node)
        for index, item in enumerate(node.expressions):
            name, sql = name_of(item), made.expressions[index]
            if name is not None and not isinstance(item, (exp.Alias, exp.Aliases)) and not _is_called(sql, name):
                made.expressions[index] = exp.Alias(this=sql, alias=quoted(name))
        made.set("expressions", made.expressions)
        return made

    def set_operation(self, node: exp.Expr) -> exp.Expr:
        """UNION and its kin: where the sides' types differ, the casts are written out."""
        made = self.rebuilt(node)
        for key in ("this", "expression"):
            columns = columns_of(node.args[key])
            if any(implied(exp.Null(), mine, wanted) != exp.Null() for _, mine, wanted in columns):
                made.set(key, _as_columns(made.args[key], columns))
        return made

    # -- expressions ------------------------------------------------------------------------------

    def arithmetic(self, node: exp.Expr) -> exp.Expr:
        """``+``, ``-``, ``*``."""
        return arithmetic(node, self.write, self.groups)

    def negation(self, node: exp.Expr) -> exp.Expr:
        """``-a``."""
        return negated(node, self.write)

    def division(self, node: exp.Expr) -> exp.Expr:
        """``/``, ``%`` and ``div``."""
        return divided(node, self.write(node.this), self.write(node.expression))

    def cast(self, node: exp.Expr) -> exp.Expr:
        """CAST; TRY_CAST, as the user wrote it, means one thing by any setting."""
        target, source = type_of(node), type_of(node.this)
        if isinstance(node, exp.TryCast) and node.args.get("safe"):
            return cast_as(self.write(node.this), target or STRING, safe=True)
        if target is None or source is None:
            return self.rebuilt(node)
        return written_cast(self.write(node.this), source, target)

    def bracket(self, node: exp.Expr) -> exp.Expr:
        """``base[key]``: NULL outside an array."""
        base = type_of(node.this)
        if base is None or base.kind != "array":
            return self.rebuilt(node)
        return exp.Anonymous(this="get", expressions=[self.write(node.this), self.write(node.expressions[0])])

    def list_column(self, node: exp.Expr) -> exp.Expr:
        """``list[0]``, where ``list`` is a column."""
        column = exp.Column(this=quoted("list"))
        return exp.Anonymous(this="get", expressions=[column, self.write(node.expressions[0])])

    def case(self, node: exp.Expr) -> exp.Expr:
        """CASE; with a subject, each test was bound as a comparison of its own."""
        made = self.rebuilt(node)
        if node.this is not None:
            made.set("this", None)
        return made

    def in_(self, node: exp.Expr) -> exp.Expr:
        """IN over a query of another type."""
        made, query = self.rebuilt(node), node.args.get("query")
        mine, theirs = type_of(node.this), type_of(query) if query is not None else None
        if query is None or mine is None or theirs is None:
            return made
        target = comparison_type(mine, theirs)
        if target is None or theirs == target or (mine.is_numeric and theirs.is_numeric):
            return made
        alias = exp.TableAlias(this=quoted("_i"), columns=[quoted("_v")])
        column = written_cast(exp.Column(this=quoted("_v")), theirs, target)
        source = exp.Subquery(this=made.args["query"].this, alias=alias)
        made.set("query", exp.Subquery(this=exp.Select(expressions=[column]).from_(source, copy=False)))
        return made

    def call(self, node: exp.Expr) -> exp.Expr:
        """A function by name."""
        name = node.name.lower()
        if name in _SUMS:
            return self.sum_of(node, lambda aggregate: aggregate)
        rewrite = CALLS.get(name)
        arguments = [self.write(argument) for argument in node.expressions]
        if rewrite is None:
            return exp.Anonymous(this=node.this, expressions=arguments)
        return rewrite(node, arguments)

    def around(self, node: exp.Expr) -> exp.Expr:
        """FILTER and OVER go around each aggregate that stands for one."""
        inner = node.this
        while isinstance(inner, exp.Filter):
            inner = inner.this
        if not isinstance(inner, exp.Anonymous) or inner.name.lower() not in _SUMS:
            return self.rebuilt(node)

        def wrap(aggregate: exp.Expr) -> exp.Expr:
            made = self.rebuilt(node)
            holder = made
            while isinstance(holder.this, exp.Filter):
                holder = holder.this
            holder.set("this", aggregate)
            return made

        return self.sum_of(inner, wrap)

    def sum_of(self, node: exp.Expr, wrap: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
        """A sum of integers stops where it overflows; one of decimals is NULL then."""
        arguments = [self.write(argument) for argument in node.expressions]
        type_ = type_of(node)
        kind = type_.kind if type_ is not None else ""
        name = node.name.lower()
        if kind == "decimal" or (name == "sum" and kind == "bigint"):
            tried = wrap(exp.Anonymous(this=f"try_{_SUMS[name]}", expressions=arguments))
            if kind == "decimal":
                return tried
            some = wrap(exp.Anonymous(this="count", expressions=[argument.copy() for argument in arguments]))
            stop = spark("CASE WHEN {0} > 0 THEN {1} END", some, overflow(shown(node)))
            return exp.Coalesce(this=tried, expressions=[stop])
        return wrap(exp.Anonymous(this=node.this, expressions=arguments))

    def interval(self, node: exp.Expr) -> exp.Expr:
        """``INTERVAL x DAY``, where ``x`` is computed."""
        amount, unit = node.this, node.args["unit"].name.upper().removesuffix("S")
        if isinstance(amount, exp.Literal):
            return node.copy()
        count = self.write(amount)
        if unit in ("YEAR", "MONTH", "QUARTER"):
            months = {"YEAR": "make_ym_interval({0}, 0)", "MONTH": "make_ym_interval(0, {0})"}
            return spark(months.get(unit, "make_ym_interval(0, 3 * {0})"), count)
        days = {
            "WEEK": "make_dt_interval(7 * {0})",
            "DAY": "make_dt_interval({0})",
            "HOUR": "make_dt_interval(0, {0})",
            "MINUTE": "make_dt_interval(0, 0, {0})",
        }
        return spark(days.get(unit, "make_dt_interval(0, 0, 0, {0})"), count)


def _is_called(sql: exp.Expr, name: str) -> bool:
    if isinstance(sql, exp.Column):
        return sql.name == name
    return isinstance(sql, exp.Dot) and isinstance(sql.expression, exp.Identifier) and sql.expression.name == name


def _as_columns(operand: exp.Expr, columns: Sequence[tuple[str, Type, Type]]) -> exp.Expr:
    inner = operand.this if isinstance(operand, exp.Subquery) and not operand.alias else operand
    names = [quoted(f"_{i}") for i in range(len(columns))]
    alias = exp.TableAlias(this=quoted("_s"), columns=names)
    projections: list[exp.Expr] = []
    for name, (wanted_name, mine, wanted) in zip(names, columns, strict=True):
        column = exp.Column(this=name.copy(), table=quoted("_s"))
        projections.append(exp.Alias(this=implied(column, mine, wanted), alias=quoted(wanted_name)))
    return exp.Select(expressions=projections).from_(exp.Subquery(this=inner, alias=alias), copy=False)


_SUMS = {"sum": "sum", "avg": "avg", "mean": "avg"}
_NATIVE = (exp.CurrentDate, exp.CurrentTimestamp)

_HANDLERS: dict[type[exp.Expr], Callable[[_Writer, exp.Expr], exp.Expr]] = {
    exp.Select: _Writer.select,
    exp.Union: _Writer.set_operation,
    exp.Except: _Writer.set_operation,
    exp.Intersect: _Writer.set_operation,
    exp.Add: _Writer.arithmetic,
    exp.Sub: _Writer.arithmetic,
    exp.Mul: _Writer.arithmetic,
    exp.Neg: _Writer.negation,
    exp.Div: _Writer.division,
    exp.Mod: _Writer.division,
    exp.IntDiv: _Writer.division,
    exp.Cast: _Writer.cast,
    exp.TryCast: _Writer.cast,
    exp.Bracket: _Writer.bracket,
    exp.List: _Writer.list_column,
    exp.Case: _Writer.case,
    exp.In: _Writer.in_,
    exp.Anonymous: _Writer.call,
    exp.Filter: _Writer.around,
    exp.Window: _Writer.around,
    exp.Interval: _Writer.interval,
}
