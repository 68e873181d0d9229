"""A rendered expression with its type, and the errors that name the place a value came from."""

from __future__ import annotations

import msgspec
from sqlglot import exp

from hanse.errors import BindError, UnsupportedError
from hanse.sql.nodes import position_of
from hanse.sql.rendering.templates import cast_to, duck
from hanse.sql.rendering.types import NULL, Type, array

__all__ = ["Value", "empty_array", "misfit", "settle", "shown", "unsupported"]


class Value(msgspec.Struct, frozen=True):
    """An expression for DuckDB and the type it has in Spark.

    Args:
        sql: the DuckDB expression.
        type: Spark's type of it.
        projected: for ``array_of_struct.field``, the array and the field, so that ``[0]`` need not build the list.
        source: the node of the script's tree that it was rendered from; implicit casts are noted there.
    """

    sql: exp.Expr
    type: Type
    projected: tuple[Value, str] | None = None
    source: exp.Expr | None = None

    def with_type(self, type_: Type) -> Value:
        """The same expression, known to have another type."""
        return msgspec.structs.replace(self, type=type_)

    @property
    def literal(self) -> str | None:
        """The text of a string literal."""
        return self.sql.name if isinstance(self.sql, exp.Literal) and self.sql.is_string else None

    @property
    def integer(self) -> int | None:
        """The value of an integer literal."""
        node, sign = self.sql, 1
        while isinstance(node, (exp.Neg, exp.Paren)):
            sign = -sign if isinstance(node, exp.Neg) else sign
            node = node.this
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            return sign * int(node.name)
        return None


def settle(value: Value) -> Value:
    """Read a column of a type that Spark lacks (HUGEINT, TIMESTAMP WITH TIME ZONE ...) as the nearest that it has."""
    if value.type.kind != "foreign":
        return value
    target = value.type.args[0]
    if target.kind == "unknown":
        return value
    if value.type.engine in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"):
        return Value(duck("timezone('UTC', {0})", value.sql), target, source=value.source)
    return Value(cast_to(value.sql, target), target, source=value.source)


def shown(node: exp.Expr) -> str:
    """An expression as Spark would write it, without comments, for errors and for the names of columns."""
    written = node.sql(dialect="spark", normalize_functions=False, comments=False)
    return written if len(written) <= 200 else written[:200] + "..."


def unsupported(node: exp.Expr | None, what: str, cure: str = "") -> UnsupportedError:
    """``what`` cannot be carried over; the position is the node's."""
    return UnsupportedError(what, cure or "it has no equal on DuckDB", position_of(node))


def misfit(node: exp.Expr | None, what: str, cure: str = "") -> BindError:
    """``what`` does not fit; the position is the node's."""
    return BindError(what, cure, position_of(node))


def empty_array(element: Type) -> exp.Expression:
    """``[]`` of a type."""
    return cast_to(exp.Array(expressions=[]), array(element if element != NULL else Type("int")))
