"""Names in sight: the relations of a FROM, what encloses them, lambda variables and aliases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from sqlglot import exp

from hanse.errors import BindError, nearest
from hanse.sql.nodes import position_of
from hanse.sql.rendering.templates import duck, identifier, text
from hanse.sql.rendering.types import NULL, Type, array
from hanse.sql.rendering.values import Value, misfit, settle

__all__ = ["Catalog", "Column", "Environment", "Relation", "Scope", "access", "lambda_variable", "told_apart"]


class Catalog(Protocol):
    """What the engine knows of its relations."""

    def columns(self, table: exp.Table) -> Mapping[str, str] | None:
        """Column names and DuckDB's text of their types, or None if there is no such relation."""

    def tables(self) -> Sequence[str]:
        """Every relation's name, for "did you mean"."""


class Column(msgspec.Struct, frozen=True):
    """A column of a relation: its name and type.

    Args:
        name: what the script calls it.
        type: Spark's.
        inner: what the rendered text calls it; ``name``, but where columns share one (:func:`told_apart`).
    """

    name: str
    type: Type
    inner: str = ""

    @property
    def key(self) -> str:
        """What the rendered text calls it."""
        return self.inner or self.name


def told_apart(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of a relation; of those that share a name, all but the first get an inner name of their own."""
    taken = {column.key.lower() for column in columns}
    if len(taken) == len(columns):
        return columns
    seen: set[str] = set()
    apart = []
    for column in columns:
        key, number = column.key, 2
        while key.lower() in seen or (number > 2 and key.lower() in taken):
            key, number = f"{column.name} ({number})", number + 1
        seen.add(key.lower())
        apart.append(column if key == column.key else Column(column.name, column.type, key))
    return tuple(apart)


class Relation(msgspec.Struct, frozen=True):
    """What stands in FROM: the names that qualify its columns, and its columns in order.

    Args:
        name: the alias, or the table's name.
        columns: in order.
        path: further qualifiers before the name: ``main`` in ``main.t.x``.
        hidden: columns (lower case) that ``*`` leaves out and bare names do not find: the right side of USING.
    """

    name: str
    columns: tuple[Column, ...]
    path: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()

    def value(self, column: Column) -> Value:
        """A reference to one of its columns."""
        return Value(exp.Column(this=identifier(column.key), table=identifier(self.name)), column.type)

    def find(self, name: str, *, bare: bool) -> list[Value]:
        """The columns of that name, in any case; ``bare`` leaves the hidden ones out."""
        lower = name.lower()
        if bare and lower in self.hidden:
            return []
        return [self.value(column) for column in self.columns if column.name.lower() == lower]


class Environment(msgspec.Struct, frozen=True):
    """What a query sees besides its own FROM: the catalog and the CTEs around it."""

    catalog: Catalog
    ctes: Mapping[str, tuple[Column, ...]] = msgspec.field(default_factory=dict)


class Scope(msgspec.Struct):
    """The names of one SELECT while it is rendered."""

    environment: Environment
    parent: Scope | None = None
    relations: list[Relation] = msgspec.field(default_factory=list)
    merged: dict[str, Value] = msgspec.field(default_factory=dict)
    variables: dict[str, Value] = msgspec.field(default_factory=dict)
    aliases: dict[str, Value] = msgspec.field(default_factory=dict)
    outputs: dict[str, Value] = msgspec.field(default_factory=dict)
    windows: dict[str, exp.Window] = msgspec.field(default_factory=dict)
    clause: str = "SELECT"
    aggregates_allowed: bool = False
    windows_allowed: bool = False
    inside_aggregate: bool = False
    aggregated: bool = False
    fresh: int = 0

    def resolve(self, parts: Sequence[str], node: exp.Expr) -> Value:
        """The value of a dotted name: a variable, a column, a field of one, an alias, or an outer column.

        Raises:
            BindError: there is none, or more than one.
        """
        scope: Scope | None = self
        own = True
        while scope is not None:
            found = scope._lookup(parts, node)
            if found is not None:
                return found if own else _outer(found)
            own = own and bool(scope.variables)
            scope = scope.parent
        shown = ".".join(parts)
        where = position_of(node)
        if len(parts) > 1:
            for relation in self._all_relations():
                if relation.name.lower() == parts[0].lower():
                    names = [column.name for column in relation.columns]
                    raise BindError(f"no column {parts[1]} in {relation.name}", nearest(parts[1], names), where)
        names = [column.name for relation in self._all_relations() for column in relation.columns]
        names += list(self.aliases)
        if len(parts) > 1:
            names += [relation.name for relation in self._all_relations()]
        raise BindError(f"unknown column {shown}", nearest(parts[0], dict.fromkeys(names)), where)

    def _all_relations(self) -> Iterator[Relation]:
        scope: Scope | None = self
        while scope is not None:
            yield from scope.relations
            scope = scope.parent

    def _lookup(self, parts: Sequence[str], node: exp.Expr) -> Value | None:
        first = parts[0].lower()
        if first in self.variables:
            return _walk(self.variables[first], parts[1:], node)
        if first in self.outputs and not self.inside_aggregate:
            return _walk(self.outputs[first], parts[1:], node)
        for taken, found in self._qualified(parts):
            return _walk(_one(found, parts[:taken], node), parts[taken:], node)
        bare = [value for relation in self.relations for value in relation.find(first, bare=True)]
        if first in self.merged:
            bare = [self.merged[first], *bare]
        if bare:
            return _walk(_one(bare, parts[:1], node), parts[1:], node)
        if first in self.aliases:
            return _walk(self.aliases[first], parts[1:], node)
        return None

    def _qualified(self, parts: Sequence[str]) -> Iterator[tuple[int, list[Value]]]:
        for taken in (4, 3, 2):
            if len(parts) < taken:
                continue
            qualifier = [part.lower() for part in parts[: taken - 1]]
            found = [
                value
                for relation in self.relations
                if [*(p.lower() for p in relation.path), relation.name.lower()][-len(qualifier) :] == qualifier
                for value in relation.find(parts[taken - 1], bare=False)
            ]
            if found:
                yield taken, found

    def with_variables(self, variables: Mapping[str, Value]) -> Scope:
        """A scope inside a lambda."""
        inner = Scope(self.environment, self)
        inner.variables = {name.lower(): value for name, value in variables.items()}
        inner.clause = self.clause
        return inner

    def root(self) -> Scope:
        """The scope of the SELECT that a lambda's scope stands in."""
        scope = self
        while scope.variables and scope.parent is not None:
            scope = scope.parent
        return scope

    def fresh_name(self, stem: str) -> str:
        """A name that no one else has."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        scope.fresh += 1
        return f"_{stem}{scope.fresh}"


def _outer(value: Value) -> Value:
    """A column of an enclosing query: a constant, as far as GROUP BY is concerned."""
    for node in value.sql.find_all(exp.Column):
        node.meta["hanse_outer"] = True
    return value


def _one(found: list[Value], parts: Sequence[str], node: exp.Expr) -> Value:
    if len(found) > 1:
        places = sorted({column.table for value in found for column in value.sql.find_all(exp.Column)})
        cure = f"write {' or '.join(f'{place}.{parts[-1]}' for place in places)}"
        if len(places) == 1:
            cure = f"{places[0]} has {len(found)} columns of that name; give them aliases"
        raise BindError(f"ambiguous column {'.'.join(parts)}", cure, position_of(node))
    return found[0]


def _walk(value: Value, fields: Iterable[str], node: exp.Expr) -> Value:
    for name in fields:
        value = access(value, name, node)
    return value


def lambda_variable(name: str) -> exp.Column:
    """A lambda's variable, as a column of DuckDB."""
    return exp.Column(this=identifier(name))


def access(value: Value, name: str, node: exp.Expr) -> Value:
    """``value.name``: a field of a struct, of each struct of an array, or the value of a map's key."""
    type_ = value.type
    if type_.kind == "struct":
        found = type_.field(name)
        if found is None:
            raise BindError(f"no field {name} in {_shown(node)}", nearest(name, type_.names), position_of(node))
        return Value(_field(value.sql, found[0]), found[1])
    if type_.kind == "map" and type_.args[0].kind == "string":
        return Value(duck("map_extract_value({0}, {1})", value.sql, text(name)), type_.args[1])
    if type_.kind == "array" and type_.element.kind == "struct":
        found = type_.element.field(name)
        if found is None:
            raise BindError(f"no field {name} in {_shown(node)}", nearest(name, type_.element.names), position_of(node))
        item = settle(Value(_field(lambda_variable("_x"), found[0]), found[1]))
        body = exp.Lambda(this=item.sql, expressions=[exp.to_identifier("_x")])
        listed = duck("list_transform({0}, {1})", value.sql, body)
        return Value(listed, array(item.type), projected=(value, found[0]))
    if type_ == NULL:
        return value
    raise misfit(node, f"no field {name} in a value of type {type_}", "only structs and maps have fields")


def _field(base: exp.Expr, name: str) -> exp.Expr:
    if isinstance(base, (exp.Column, exp.Dot)) and not (isinstance(base, exp.Column) and not base.args.get("table")):
        return exp.Dot(this=base.copy(), expression=identifier(name))
    return duck("struct_extract({0}, {1})", base, text(name))


def _shown(node: exp.Expr) -> str:
    return node.sql(dialect="spark", normalize_functions=False, comments=False)
