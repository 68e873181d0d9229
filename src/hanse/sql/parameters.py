"""``$parameters`` become typed literals in the tree, so that a value can never be read as SQL."""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Mapping
from typing import TypeVar

from sqlglot import exp

from hanse.errors import BindError, nearest
from hanse.sql.nodes import position_of
from hanse.types import Value

__all__ = ["bind_parameters", "literal"]

Tree = TypeVar("Tree", bound=exp.Expr)

_QUOTED = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*$")
_BOUND = "hanse_bound"


def bind_parameters(tree: Tree, parameters: Mapping[str, Value]) -> Tree:
    """A copy of ``tree`` with every ``$name`` and ``'$name'`` replaced by its value.

    Args:
        tree: a query or an expression.
        parameters: values by name, without the ``$``.

    Raises:
        BindError: a parameter without a value, or one that stands where a name has to.
    """
    bound = tree.copy()
    for node in list(bound.walk()):
        name = _parameter(node)
        if name is None:
            continue
        if name not in parameters:
            cure = nearest(name, parameters) if parameters else f"give it one: --param {name}=..."
            raise BindError(f"parameter ${name} has no value", cure, position_of(node))
        if _is_name(node):
            raise BindError(f"parameter ${name} in place of a name", "parameters are values", position_of(node))
        value = _placed(literal(parameters[name]), node)
        if node is bound:
            return value  # type: ignore[return-value]
        node.replace(value)
    return bound


def literal(value: Value) -> exp.Expression:
    """A value as a typed node.

    Whole numbers are INT or BIGINT by their size, as if they were written in the script; floats are DOUBLE.

    >>> literal(2.5).sql(), literal("it's").sql(), literal(datetime.date(2011, 10, 1)).sql()
    ('2.5e0', "'it''s'", "CAST('2011-10-01' AS DATE)")
    """
    if getattr(getattr(value, "dtype", None), "kind", "") in set("biuf") and not getattr(value, "shape", ()):
        value = value.item()  # type: ignore[union-attr]  # one of NumPy's numbers
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, int):
        return _signed(str(abs(int(value))), value < 0)
    if isinstance(value, float):
        if not math.isfinite(value):
            return _cast(str(value), "DOUBLE")
        digits = repr(abs(float(value)))
        return _signed(digits if "e" in digits else f"{digits}e0", math.copysign(1, value) < 0)
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = _in_utc(value)
        return _cast(value.isoformat(sep=" "), "TIMESTAMP")
    if isinstance(value, datetime.date):
        return _cast(value.isoformat(), "DATE")
    if isinstance(value, str):
        return exp.Literal.string(str.__str__(value))  # of an enumeration the text, and not its name
    raise BindError(
        f"a parameter of type {type(value).__name__}", "give None, bool, int, float, str, Decimal or a date"
    )


def _in_utc(value: datetime.datetime) -> datetime.datetime:
    try:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    except OverflowError:
        raise BindError(f"the timestamp {value.isoformat()}", "need one whose year in UTC is 1 to 9999") from None


def _decimal(value: decimal.Decimal) -> exp.Expression:
    if not value.is_finite():
        return _cast(str(float(value)), "DOUBLE")
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(digits) + max(int(exponent), 0), scale, 1)
    if precision > 38:
        raise BindError(f"the decimal {value}", "need at most 38 digits")
    return _cast(f"{value:f}", f"DECIMAL({precision}, {scale})")


def _cast(text: str, type_: str) -> exp.Expression:
    return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build(type_))


def _signed(digits: str, negative: bool) -> exp.Expression:
    number = exp.Literal.number(digits)
    return exp.Paren(this=exp.Neg(this=number)) if negative else number


def _parameter(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Parameter):
        return node.name
    if isinstance(node, exp.Literal) and node.is_string and not node.meta.get(_BOUND) and _QUOTED.match(node.name):
        return node.name[1:]
    return None


def _is_name(node: exp.Expr) -> bool:
    if isinstance(node.parent, exp.Alias):
        return node.arg_key == "alias"
    return isinstance(node.parent, (exp.Table, exp.TableAlias)) and node.arg_key in ("this", "db", "catalog", "alias")


def _placed(value: exp.Expression, source: exp.Expr) -> exp.Expression:
    """The value, at the place of the parameter, and never read as a parameter again."""
    for node in value.walk():
        node.meta[_BOUND] = True
    value.meta.update(source.meta or (source.this.meta if isinstance(source.this, exp.Expr) else {}))
    return value
