"""The plans of queries that are asked again with other numbers in them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Final

__all__ = ["Plans"]

_MOST_PLANS: Final = 32

_QUOTED_OR_DOUBLE: Final = re.compile(
    r""" "(?:[^"]|"")*" | '(?:[^']|'')*' | (?<![\w.]) \d+ (?:\.\d+)? e [+-]? \d+ """, re.VERBOSE
)
"""Names and texts in quotes, so as to pass over them, and doubles as :func:`hanse.expressions.number` writes them."""


class Plans:
    """What one connection has planned and will be asked again.

    The steps of a training ask the same queries with other numbers, and where rows are few, planning such a query takes
    DuckDB several times as long as running it. It keeps the plan of a prepared statement, but not of one that reads a
    table, which may have changed meanwhile; hence :meth:`hanse.engines.duckdb.DuckDB.hold`.

    Args:
        execute: runs a statement.
    """

    def __init__(self, execute: Callable[[str], object]) -> None:
        self._execute = execute
        self._known: dict[str, str] = {}  # the plan's name by the query's shape, the latest last; empty at first sight
        self._numbers = itertools.count()

    def of(self, sql: str) -> str:
        """How to run a query: as it is at first, by its plan from the second time on.

        Args:
            sql: one SELECT, without comments.
        """
        shape, numbers = _parted(sql)
        name = self._known.pop(shape, None)
        if name is None:
            self._know(shape, "")
            return sql
        if not name:
            name = f"plan_{next(self._numbers)}"
            self._execute(f"PREPARE {name} AS {shape}")
        self._know(shape, name)
        return f"EXECUTE {name}({numbers})" if numbers else f"EXECUTE {name}"

    def _know(self, shape: str, name: str) -> None:
        self._known[shape] = name
        if len(self._known) > _MOST_PLANS:
            self._drop(self._known.pop(next(iter(self._known))))

    def forget(self) -> None:
        """Let go of all plans: after a change of the catalog DuckDB makes each of them anew whenever it is used."""
        for name in self._known.values():
            self._drop(name)
        self._known.clear()

    def _drop(self, name: str) -> None:
        if name:
            self._execute(f"DEALLOCATE {name}")


@functools.lru_cache(maxsize=4)  # the silos of one process are asked the same one after the other
def _parted(sql: str) -> tuple[str, str]:
    """A query with parameters in place of its doubles, and those."""
    numbers: list[str] = []

    def parameter(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] in "\"'":
            return text
        numbers.append(text)
        return f"CAST(${len(numbers)} AS DOUBLE)"

    return _QUOTED_OR_DOUBLE.sub(parameter, sql), ", ".join(numbers)
