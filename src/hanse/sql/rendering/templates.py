"""DuckDB expressions from templates: ``duck("list_extract({0}, {1})", a, b)``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, cast

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.parsers.duckdb import DuckDBParser

from hanse.sql.rendering.types import Type, engine_text

__all__ = [
    "as_filter",
    "cast_to",
    "duck",
    "duck_once",
    "identifier",
    "number",
    "once",
    "simplified",
    "text",
    "type_node",
    "wrapped",
]

_NEEDS_PARENTHESES = (
    exp.Binary,
    exp.Not,
    exp.Neg,
    exp.BitwiseNot,
    exp.Between,
    exp.In,
    exp.Is,
    exp.AtTimeZone,
)
_TIGHT = (exp.Binary, exp.Not, exp.Neg, exp.BitwiseNot, exp.Between, exp.In, exp.Is, exp.AtTimeZone, exp.Dot)


class _Verbatim(DuckDB):
    class Parser(DuckDBParser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: DuckDBParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST")
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            "CASE": DuckDBParser.NO_PAREN_FUNCTION_PARSERS["CASE"]
        }


_DIALECT = _Verbatim()


@lru_cache(maxsize=4096)
def _parsed(template: str) -> exp.Expression:
    with_names = re.sub(r"\{(\d+)\}", r"__\1", template)
    tree = _DIALECT.parser().parse(_DIALECT.tokenize(with_names), with_names)[0]
    return cast(exp.Expression, tree)


def duck(template: str, *arguments: exp.Expr) -> exp.Expression:
    """The template's expression, with ``{n}`` replaced by ``arguments[n]``, in parentheses where it needs them."""
    tree = _parsed(template).copy()
    for node in list(tree.find_all(exp.Column, exp.Identifier)):
        name = node.name
        if isinstance(node, exp.Identifier) and isinstance(node.parent, exp.Column):
            continue
        if name.startswith("__") and name[2:].isdigit() and not (isinstance(node, exp.Column) and node.table):
            argument = arguments[int(name[2:])].copy()
            argument = wrapped(argument) if isinstance(node.parent, _TIGHT) else argument
            if node is tree:
                return cast(exp.Expression, argument)
            node.replace(argument)
    return tree


def duck_once(template: str, *arguments: exp.Expr) -> exp.Expression:
    """As :func:`duck`, for templates with lambdas that use their arguments.

    DuckDB fails on a lambda that captures an expression with a lambda of its own; such an argument is computed
    first, as the variable of a lambda over a list of one.
    """
    bodies = list(arguments)
    captured = []
    for index, argument in enumerate(arguments):
        bodies[index] = once(index, argument)
        if bodies[index] is not argument:
            captured.append((f"_v{index}", argument))
    result = duck(template, *bodies)
    for name, argument in captured:
        step = exp.Lambda(this=result, expressions=[exp.to_identifier(name)])
        result = duck("list_extract(list_transform([{0}], {1}), 1)", argument, step)
    return result


def once(index: int, argument: exp.Expr) -> exp.Expr:
    """What stands for argument ``index`` of :func:`duck_once` inside a lambda: itself, or its variable."""
    computed = not isinstance(argument, exp.Lambda) and argument.find(exp.Lambda) is not None
    return exp.column(f"_v{index}") if computed else argument


def wrapped(node: exp.Expr) -> exp.Expr:
    """``node``, in parentheses where it is not a single term."""
    return exp.Paren(this=node) if isinstance(node, _NEEDS_PARENTHESES) and not isinstance(node, exp.Dot) else node


def as_filter(node: exp.Expression, test: exp.Expression) -> exp.Expression:
    """``node``, which may be written as the simpler ``test`` where NULL counts as FALSE: in WHERE."""
    node.meta["hanse_filter"] = test
    return node


def simplified(node: exp.Expr) -> exp.Expr:
    """A condition of WHERE, with what :func:`as_filter` noted."""
    if "hanse_filter" in node.meta:
        return cast(exp.Expr, node.meta["hanse_filter"].copy())
    if isinstance(node, exp.And):
        return exp.And(this=simplified(node.this), expression=simplified(node.expression))
    return node


def number(value: int) -> exp.Expression:
    """An integer literal."""
    return duck(str(value)) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))


def text(value: str) -> exp.Expression:
    """A string literal."""
    return exp.Literal.string(value)


@lru_cache(maxsize=1024)
def _type_node(type_: Type) -> exp.DataType:
    return exp.DataType.build(engine_text(type_), dialect="duckdb")


def type_node(type_: Type) -> exp.DataType:
    """A type, for a cast."""
    return _type_node(type_).copy()


def cast_to(node: exp.Expr, type_: Type, *, safe: bool = False) -> exp.Expression:
    """``CAST(node AS type)``, or TRY_CAST."""
    return (exp.TryCast if safe else exp.Cast)(this=node, to=type_node(type_))


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_RESERVED = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "at",
        "authorization",
        "between",
        "binary",
        "both",
        "by",
        "case",
        "cast",
        "check",
        "collate",
        "collation",
        "column",
        "concurrently",
        "constraint",
        "create",
        "cross",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "describe",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "exists",
        "extract",
        "false",
        "fetch",
        "filter",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "generated",
        "glob",
        "grant",
        "group",
        "grouping",
        "having",
        "ilike",
        "in",
        "initially",
        "inner",
        "insert",
        "intersect",
        "interval",
        "into",
        "is",
        "isnull",
        "join",
        "lambda",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "map",
        "match",
        "natural",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "over",
        "overlaps",
        "pivot",
        "pivot_longer",
        "pivot_wider",
        "placing",
        "positional",
        "primary",
        "qualify",
        "references",
        "returning",
        "right",
        "row",
        "rows",
        "select",
        "semi",
        "session_user",
        "show",
        "similar",
        "some",
        "struct",
        "summarize",
        "symmetric",
        "table",
        "tablesample",
        "then",
        "to",
        "trailing",
        "trim",
        "true",
        "try_cast",
        "union",
        "unique",
        "unpivot",
        "using",
        "values",
        "variadic",
        "verbose",
        "when",
        "where",
        "window",
        "with",
        "within",
        "anti",
        "asof",
        "timestamp",
        "time",
        "date",
    ]
)


def identifier(name: str) -> exp.Identifier:
    """A name, quoted where DuckDB would not read it otherwise."""
    plain = _PLAIN.match(name) is not None and name.lower() not in _RESERVED
    return exp.Identifier(this=name, quoted=not plain)
