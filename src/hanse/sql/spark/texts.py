"""Spark expressions from templates, and Spark's text of types."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, cast

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.parsers.spark import SparkParser

from hanse.sql.rendering.templates import wrapped
from hanse.sql.rendering.types import Type

__all__ = ["cast_as", "overflow", "quoted", "spark", "spark_text"]

_TIGHT = (exp.Binary, exp.Not, exp.Neg, exp.BitwiseNot, exp.Between, exp.In, exp.Is, exp.Dot)


class _Verbatim(Spark):
    class Parser(SparkParser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: SparkParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST")
        }


_DIALECT = _Verbatim()


@lru_cache(maxsize=1024)
def _parsed(template: str) -> exp.Expression:
    with_names = re.sub(r"\{(\d+)\}", r"__\1", template)
    return cast("exp.Expression", _DIALECT.parser().parse(_DIALECT.tokenize(with_names), with_names)[0])


def spark(template: str, *arguments: exp.Expr) -> exp.Expr:
    """The template's expression, with ``{n}`` replaced by ``arguments[n]``, in parentheses where it needs them."""
    tree: exp.Expr = _parsed(template).copy()
    if isinstance(tree, exp.Column) and len(arguments) == 1:
        return arguments[0].copy()
    for node in list(tree.find_all(exp.Column)):
        name = node.name
        if name.startswith("__") and name[2:].isdigit() and not node.table:
            argument = arguments[int(name[2:])].copy()
            argument = wrapped(argument) if isinstance(node.parent, _TIGHT) else argument
            if node is tree:
                return argument
            node.replace(argument)
    return tree


def quoted(name: str) -> exp.Identifier:
    """A name in backquotes."""
    return exp.Identifier(this=name, quoted=True)


def spark_text(type_: Type) -> str:
    """A type as Spark writes it."""
    if type_.kind == "decimal":
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if type_.kind == "struct":
        names = ("`" + name.replace("`", "``") + "`" for name in type_.names)
        return f"STRUCT<{', '.join(f'{n}: {spark_text(t)}' for n, t in zip(names, type_.args, strict=True))}>"
    if type_.kind in ("array", "map"):
        return f"{type_.kind.upper()}<{', '.join(map(spark_text, type_.args))}>"
    if type_.kind == "null":
        return "INT"
    return type_.kind.upper()


@lru_cache(maxsize=512)
def _data_type(type_: Type) -> exp.DataType:
    return exp.DataType(this=exp.DType.USERDEFINED, kind=spark_text(type_))


def cast_as(node: exp.Expr, type_: Type, *, safe: bool = False) -> exp.Expr:
    """``CAST(node AS type)``, or TRY_CAST."""
    if safe:  # without the flag, sqlglot writes a TryCast as CAST
        return exp.TryCast(this=node, to=_data_type(type_).copy(), safe=True)
    return exp.Cast(this=node, to=_data_type(type_).copy())


def overflow(what: str) -> exp.Expr:
    """What stops the query where an integer overflows."""
    return exp.Anonymous(this="raise_error", expressions=[exp.Literal.string(f"{OVERFLOW} {what}")])


OVERFLOW = "hanse: integer overflow in"
