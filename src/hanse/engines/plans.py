"""The plans of queries that are asked again with other numbers in them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Final

__all__ = ["Plans"]

_MOST_SHAPES: Final = 32
_MOST_CHARACTERS: Final = 100_000
"""Of all shapes together; a plan takes some 300 bytes for each."""

_DOUBLE: Final = r"\d+ (?:\.\d+)? e [+-]? \d+"
_QUOTED_OR_DOUBLE: Final = re.compile(
    rf""" "(?:[^"]|"")*" | '(?:[^']|'')*' | (?<!\w)\(-{_DOUBLE}\) | (?<![\w.])-?{_DOUBLE} """, re.VERBOSE
)
"""Names and texts in quotes, so as to pass over them, and doubles as :func:`hanse.expressions.number` writes them, with
the brackets that a negative one stands in."""


class Plans:
    """What one connection has planned and will be asked again.

    The steps of a training ask the same queries with other numbers, and where rows are few, planning such a query takes
    DuckDB many times as long as running it. It keeps the plan of a prepared statement, but not of one that reads a
    table, which may have changed meanwhile; hence :meth:`hanse.engines.duckdb.DuckDB.hold`. To prepare a query that is
    not asked again costs hardly more than to run it.

    Args:
        execute: runs a statement.
    """

    def __init__(self, execute: Callable[[str], object]) -> None:
        self._execute = execute
        self._names: dict[str, str] = {}  # of plans by the queries' shapes, the latest last
        self._numbers = itertools.count()

    def of(self, sql: str) -> str:
        """How to run a query by its plan; one that is too long to keep a plan of is run as it is.

        Args:
            sql: one SELECT, without comments.
        """
        shape, numbers = _parted(sql)
        if len(shape) > _MOST_CHARACTERS:
            return sql
        name = self._names.pop(shape, None)  # it is known again only when nothing has stopped what follows
        if name is None:
            name = f"plan_{next(self._numbers)}"
            self._execute(f"PREPARE {name} AS {shape}")
        self._names[shape] = name
        while len(self._names) > _MOST_SHAPES or sum(map(len, self._names)) > _MOST_CHARACTERS:
            self._drop(self._names.pop(next(iter(self._names))))
        return f"EXECUTE {name}({numbers})" if numbers else f"EXECUTE {name}"

    def forget(self) -> None:
        """Let go of all plans: after a change of the catalog DuckDB makes each of them anew whenever it is used."""
        names, self._names = self._names, {}
        for name in names.values():
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._execute(f"DEALLOCATE {name}")


@functools.lru_cache(maxsize=4)  # the silos of one process are asked the same one after the other
def _parted(sql: str) -> tuple[str, str]:
    """A query with parameters in place of its doubles, and those."""
    numbers: list[str] = []

    def parameter(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] in "\"'":
            return text
        numbers.append(text.strip("()"))
        return f"CAST(${len(numbers)} AS DOUBLE)"

    return _QUOTED_OR_DOUBLE.sub(parameter, sql), ", ".join(numbers)
