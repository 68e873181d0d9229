"""A mixin for sqlglot's Spark parser that keeps every function call as it was written.

sqlglot's builders turn ``datediff(a, b)``, ``date_format(d, 'yyyy')`` and the like into classes of their own and lose
arguments, formats or lambdas on the way. With this mixin a call stays an ``exp.Anonymous``: its name and arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.parsers.spark import SparkParser

__all__ = ["VerbatimCalls"]

_SPECIAL = ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "POSITION", "OVERLAY")


class VerbatimCalls:
    """Parses calls verbatim; only calls with a grammar of their own (``CAST(x AS t)``) get a class."""

    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {"ARRAY": exp.Array.from_arg_list}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
        name: SparkParser.FUNCTION_PARSERS[name] for name in _SPECIAL
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
        name: parse for name, parse in SparkParser.NO_PAREN_FUNCTION_PARSERS.items() if name != "TRANSFORM"
    }
