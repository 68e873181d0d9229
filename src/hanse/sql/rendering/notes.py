"""What rendering learns of the script's own tree, noted on its nodes: types, implicit casts, names.

Rendering to Spark needs no other tree, for the script is Spark SQL already; it needs what Spark would work out by the
session's settings: which type an expression has, and where a cast stands that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlglot import exp

from hanse.sql.rendering.types import Type

__all__ = [
    "cast_of",
    "columns_of",
    "name_of",
    "note_cast",
    "note_columns",
    "note_name",
    "note_stand_in",
    "note_type",
    "stand_in_of",
    "type_of",
]

_TYPE = "hanse_type"
_CAST = "hanse_cast"
_STAND_IN = "hanse_stand_in"
_NAME = "hanse_name"
_COLUMNS = "hanse_columns"


def note_type(node: exp.Expr, type_: Type) -> None:
    """The type that an expression has; one that Spark lacks counts as the nearest that it has."""
    node.meta[_TYPE] = type_.args[0] if type_.kind == "foreign" else type_


def type_of(node: exp.Expr) -> Type | None:
    """The type that an expression has; None where it was never bound."""
    return cast("Type | None", node.meta.get(_TYPE))


def note_cast(node: exp.Expr | None, type_: Type) -> None:
    """A cast that the script leaves implicit."""
    if node is not None:
        node.meta[_CAST] = type_


def cast_of(node: exp.Expr) -> Type | None:
    """The type that an expression is cast to without being told."""
    return cast("Type | None", node.meta.get(_CAST))


def note_stand_in(node: exp.Expr, other: exp.Expr) -> None:
    """``other`` was bound in the place of ``node``."""
    node.meta[_STAND_IN] = other


def stand_in_of(node: exp.Expr) -> exp.Expr | None:
    """What was bound in the place of ``node``."""
    return cast("exp.Expr | None", node.meta.get(_STAND_IN))


def note_name(node: exp.Expr, name: str) -> None:
    """What a column of a SELECT list is called."""
    node.meta[_NAME] = name


def name_of(node: exp.Expr) -> str | None:
    """What a column of a SELECT list is called."""
    return cast("str | None", node.meta.get(_NAME))


def note_columns(node: exp.Expr, columns: Sequence[tuple[str, Type, Type]]) -> None:
    """What an operand of UNION and its kin gives: names, own types, and those that both sides widen to."""
    node.meta[_COLUMNS] = tuple(columns)


def columns_of(node: exp.Expr) -> Sequence[tuple[str, Type, Type]]:
    """What :func:`note_columns` noted; nothing where there was no need."""
    return cast("Sequence[tuple[str, Type, Type]]", node.meta.get(_COLUMNS, ()))
