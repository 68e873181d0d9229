"""From a parsed query to text that an engine runs: parameters bound, table functions put in, Spark SQL rendered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from sqlglot import exp

from hanse.errors import BindError, EngineError, HanseError, UnsupportedError, nearest
from hanse.expressions import integer, number
from hanse.sql.lint import cross_join_warnings
from hanse.sql.nodes import OptionValue, TableFunction, Version, position_of, table_functions
from hanse.sql.parameters import bind_parameters
from hanse.sql.render import file_source, render, to_sql
from hanse.types import Parameters, Value

__all__ = [
    "Expand",
    "Expansion",
    "Planner",
    "Prepared",
    "Relations",
    "bound_value",
    "number_rows",
    "version_number",
]

GENERATED = "hanse_function_"
"""What generated relations are called while a query is rendered."""

_TOO_DEEP = "a query nested too deeply, or with too many operators in a row"
_TOO_DEEP_CURE = "name its parts in a WITH; IN takes any number of values, and VALUES of rows"


class Relations(Protocol):
    """What a database says of its relations; types are the engine's own text."""

    @property
    def dialect(self) -> str:
        """What it speaks: ``duckdb`` or ``spark``."""
        ...

    def columns(self, sql: str, *, unique: bool = True) -> Mapping[str, str]:
        """The columns that a query in the engine's dialect gives; ``unique``: two of one name are an error."""
        ...

    def relation_columns(self, parts: Sequence[str]) -> Mapping[str, str] | None:
        """A table's or view's columns, by the parts of its name; None if there is none."""
        ...

    def relations(self) -> Sequence[str]:
        """Every table's and view's name."""
        ...


class Prepared(msgspec.Struct, frozen=True):
    """A query that the engine can run.

    Args:
        tree: in the engine's dialect.
        sql: the same as text.
        columns: what it gives: engine types by name.
        warnings: what the user should know.
        explain: turns an error that running it raises into one that says more.
    """

    tree: exp.Query
    sql: str
    columns: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    explain: tuple[Callable[[HanseError], HanseError | None], ...] = ()

    def explained(self, error: HanseError) -> HanseError:
        """The error that says most."""
        for attempt in self.explain:
            better = attempt(error)
            if better is not None:
                return better
        return error


class Expansion(msgspec.Struct, frozen=True):
    """What stands in a query in place of a table function; its text is the engine's."""

    tree: exp.Expr
    columns: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    explain: tuple[Callable[[HanseError], HanseError | None], ...] = ()


Expand = Callable[[TableFunction, "Prepared | None"], Expansion]
"""Works a table function out, given its query, prepared."""


class Planner(msgspec.Struct):
    """Prepares the queries of one statement.

    Args:
        engine: that will run them.
        parameters: by name.
        expand: works a table function out.
    """

    engine: Relations
    parameters: Parameters
    expand: Expand
    _numbers: itertools.count[int] = msgspec.field(default_factory=itertools.count)

    def prepare(self, tree: exp.Query, *, unique: bool = True) -> Prepared:
        """Make a parsed query runnable.

        Args:
            tree: the query.
            unique: whether its columns must have names of their own, as a table's or a model's do.

        Raises:
            SqlError: names that do not exist, SQL that cannot be carried over; with line and column.
        """
        try:
            return self._prepared(tree, unique)
        except RecursionError as error:
            *_, deepest = tree.bfs()
            raise UnsupportedError(_TOO_DEEP, _TOO_DEEP_CURE, position_of(deepest)) from error

    def _prepared(self, tree: exp.Query, unique: bool) -> Prepared:
        tree = bind_parameters(tree, self.parameters)
        assert isinstance(tree, exp.Query)  # parameters stand in value position only
        warnings = list(cross_join_warnings(tree))
        catalog = _Catalog(self.engine)
        expansions: dict[str, Expansion] = {}
        for function in table_functions(tree):
            query = function.args.get("query")
            inner = self.prepare(_standalone(function, query)) if query is not None else None
            expansion = self.expand(function, inner)
            name = f"{GENERATED}{next(self._numbers)}"
            table = function.parent
            if isinstance(table, exp.Table) and not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(function.name)))
            function.replace(exp.to_identifier(name))
            expansions[name] = expansion
            catalog.generated[name] = expansion.columns
        rendered = render(tree, catalog, self.engine.dialect, warnings.append)
        if expansions:
            put_in = rendered.transform(lambda node: _put_in(node, expansions), copy=False)
            assert isinstance(put_in, exp.Query)  # only tables in it change
            rendered = put_in
        sql = to_sql(rendered, self.engine.dialect)
        found = [*warnings]
        explain: list[Callable[[HanseError], HanseError | None]] = []
        for expansion in expansions.values():
            found += [w for w in expansion.warnings if w not in found]
            explain += expansion.explain
        try:
            columns = self.engine.columns(sql, unique=unique)
        except HanseError as error:
            raise _placed(error, tree) from error
        return Prepared(rendered, sql, columns, tuple(found), tuple(explain))


class _Catalog(msgspec.Struct):
    """The relations of an engine, and generated ones that exist in one query only."""

    engine: Relations
    generated: dict[str, Mapping[str, str]] = msgspec.field(default_factory=dict)

    def columns(self, table: exp.Table) -> Mapping[str, str] | None:
        """Column names with the engine's types; None if there is no such relation."""
        if not table.db and table.name in self.generated:
            return self.generated[table.name]
        file = file_source(table)
        if file is not None:
            if self.engine.dialect == "spark":
                file = exp.Table(this=table.this.copy(), db=table.args["db"].copy())
            try:
                return self.engine.columns(f"SELECT * FROM {file.sql(dialect=self.engine.dialect)}")
            except EngineError as error:
                raise BindError(
                    f"file {table.name}: {error}", "check the path and the format", position_of(table)
                ) from error
        parts = [part.name for part in table.parts]
        try:
            return self.engine.relation_columns(parts)
        except EngineError as error:
            raise BindError(f"{'.'.join(parts)} cannot be read", str(error), position_of(table)) from error

    def tables(self) -> Sequence[str]:
        """Every relation's name."""
        return self.engine.relations()


def _placed(error: HanseError, tree: exp.Query) -> HanseError:
    """An engine's complaint about a query, with the query's place."""
    if isinstance(error, EngineError):
        return BindError(str(error), "", position_of(tree))
    return error


def _put_in(node: exp.Expression, expansions: Mapping[str, Expansion]) -> exp.Expression:
    if isinstance(node, exp.Table) and node.name in expansions and not node.db:
        alias = node.args.get("alias")
        subquery = exp.Subquery(this=expansions[node.name].tree, alias=alias)
        for key in ("joins", "laterals", "pivots"):
            if node.args.get(key):
                subquery.set(key, node.args[key])
        return subquery
    return node


def _standalone(function: TableFunction, query: exp.Query) -> exp.Query:
    """A table function's query together with the common table expressions that it names."""
    alone = query.copy()
    own = alone.args.get("with_")
    taken = {cte.alias.lower() for cte in own.expressions} if own else set()
    kept = [cte.copy() for cte in _named(alone, _visible(function)) if cte.alias.lower() not in taken]
    if not kept:
        return alone
    if own:
        own.set("expressions", [*kept, *own.expressions])
        return alone
    if isinstance(alone, exp.Subquery):
        alone = exp.Select(expressions=[exp.Star()]).from_(alone, copy=False)
    alone.set("with_", exp.With(expressions=kept))
    return alone


def _visible(function: TableFunction) -> list[exp.CTE]:
    """The common table expressions that a table function's query may name, in order of definition."""
    visible: list[exp.CTE] = []
    child: exp.Expr = function
    node = function.parent
    while node is not None:
        if isinstance(node, exp.With):
            before = next(i for i, cte in enumerate(node.expressions) if cte is child)
            visible = [*node.expressions[:before], *visible]
        else:
            with_ = node.args.get("with_")
            if with_ is not None and with_ is not child:
                visible = [*with_.expressions, *visible]
        child, node = node, node.parent
    return visible


def _named(query: exp.Query, visible: list[exp.CTE]) -> list[exp.CTE]:
    """Those of ``visible`` that a query names, directly or through one another."""
    wanted = {table.name.lower() for table in query.find_all(exp.Table) if not table.db}
    kept: list[exp.CTE] = []
    for cte in reversed(visible):
        if cte.alias.lower() in wanted:
            kept.insert(0, cte)
            wanted |= {table.name.lower() for table in cte.find_all(exp.Table) if not table.db}
    return kept


def bound_value(value: OptionValue, parameters: Parameters) -> Value:
    """An option's or a clause's value; a ``$parameter`` is looked up.

    Raises:
        BindError: the parameter has no value, or the value is a list.
    """
    if isinstance(value, tuple):
        raise BindError(f"a list ({', '.join(str(v) for v in value)})", "need one value")
    if not isinstance(value, exp.Expression):
        return value
    name = value.name
    if name not in parameters:
        cure = nearest(name, parameters) if parameters else f"give it one: --param {name}=..."
        raise BindError(f"parameter ${name} has no value", cure, position_of(value))
    return parameters[name]


def version_number(version: Version | exp.Expression | None, parameters: Parameters) -> int | None:
    """A model's version as a statement or a table function gives it; None stays None.

    Raises:
        BindError: it is not a whole number of 1 or more.
    """
    if version is None or isinstance(version, int):
        return version
    value: Value
    if isinstance(version, exp.Literal):
        value = version.name if version.is_string else int(version.name) if version.name.isdigit() else version.name
    else:
        value = bound_value(version, parameters) if isinstance(version, exp.Parameter) else version.sql()
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BindError(f"version {value!r}", "need a whole number of 1 or more", position_of(version))
    return value


def number_rows(
    kinds: Mapping[str, str], rows: Sequence[Sequence[float | int | str | bool | None]], dialect: str
) -> exp.Query:
    """A few rows of numbers and texts as a query.

    Args:
        kinds: the columns, with types as the dialect writes them.
        rows: values in the columns' order; there may be none.
        dialect: of the engine.
    """
    selects: list[exp.Query] = []
    for row in rows or [[None] * len(kinds)]:
        values = []
        for (name, kind), value in zip(kinds.items(), row, strict=True):
            cast = exp.Cast(this=_literal(value), to=exp.DataType.build(kind, dialect=dialect))
            values.append(exp.alias_(cast, name, quoted=True))
        selects.append(exp.Select(expressions=values))
    query = selects[0]
    if not rows:
        return query.where(exp.false(), copy=False)
    for select in selects[1:]:
        query = exp.Union(this=query, expression=select, distinct=False)
    return query


def _literal(value: float | int | str | bool | None) -> exp.Expr:
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        return exp.Literal.string(value)
    return integer(value) if isinstance(value, int) else number(value)
