"""The query of a federated statement: one published relation and its columns, and nothing else."""

from __future__ import annotations

import msgspec
from sqlglot import exp

from hanse.errors import BindError
from hanse.sql.nodes import position_of

__all__ = ["Published", "published_relation"]

_CURE = (
    "a silo answers tasks, not SQL: write SELECT column, ... FROM relation, "
    "and let the silo's owner publish what you need"
)
_ALLOWED = frozenset({"expressions", "from_", "kind"})


class Published(msgspec.Struct, frozen=True):
    """What a federated statement reads at each silo."""

    relation: str
    columns: tuple[str, ...]


def published_relation(query: exp.Query) -> Published:
    """The relation and columns that a query names.

    Raises:
        BindError: the query does anything else, too; with line and column.
    """
    if not isinstance(query, exp.Select):
        raise BindError(f"a {query.key} over silos", _CURE, position_of(query))
    for clause, value in query.args.items():
        if value and clause not in _ALLOWED:
            place = value[0] if isinstance(value, list) else value
            name = clause.rstrip("_").upper()
            raise BindError(f"{name} in a query over silos", _CURE, position_of(place) or position_of(query))
    source = query.args.get("from_")
    table = source.this if source is not None else None
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier) or table.db:
        raise BindError("a query over silos without one published relation", _CURE, position_of(query))
    columns = []
    for item in query.expressions:
        if not isinstance(item, exp.Column) or isinstance(item.this, exp.Star):
            shown = item.sql(dialect="spark")
            raise BindError(f"{shown} in a query over silos is no plain column", _CURE, position_of(item))
        columns.append(item.name)
    return Published(table.name, tuple(columns))
