"""The rows that Spark keeps for as long as they are read again and again, and what a user has cached already."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

__all__ = ["KeptRows", "is_cached"]


class KeptRows:
    """Queries' rows, cached on the executors, each under the name of a temporary view.

    What the user has cached is not cached twice, and stays cached afterwards.

    Args:
        session: of pyspark, classic or Connect.
        run: makes a frame of a query.
        remote: whether the session is one of Spark Connect.
    """

    def __init__(self, session: Any, run: Callable[[str], Any], *, remote: bool) -> None:
        self._session = session
        self._run = run
        self._remote = remote
        self._cached: dict[str, Any] = {}  # by name; None where the user's own cache serves

    def keep(self, name: str, sql: str) -> None:
        """Cache a query's rows until :meth:`forget`."""
        cached = None
        if self._reads_cached(sql):  # one column more: with a view of the same, Spark would drop what is cached
            frame = self._run(f"SELECT *, 0 AS {name}_more FROM ({sql}) AS rows_")
        else:
            frame = cached = self._run(sql).persist()
        frame.createOrReplaceTempView(name)
        self._cached[name] = cached

    def forget(self, name: str) -> None:
        """Let go of what :meth:`keep` cached; harmless where it is gone, or the session has died."""
        if name not in self._cached:
            return
        cached = self._cached.pop(name)
        with contextlib.suppress(Exception):  # of a session that has died: then nothing is kept any more
            self._session.catalog.dropTempView(name)
            if cached is not None:
                cached.unpersist()

    def forget_all(self) -> None:
        """Let go of everything."""
        for name in list(self._cached):
            self.forget(name)

    def _reads_cached(self, sql: str) -> bool:
        """Whether a query reads columns of a table that the user has cached, and does nothing else."""
        if not self._remote and self._session.sparkContext._jsc.getPersistentRDDs().isEmpty():
            return False  # there is no such table, which is found out at once
        return is_cached("\n".join(str(row[0]) for row in self._run(f"EXPLAIN FORMATTED {sql}").collect()))


def is_cached(plan: str) -> bool:
    """Whether a query reads columns of a table that Spark has cached, and does nothing else.

    Args:
        plan: as EXPLAIN FORMATTED shows it.
    """
    found = _CACHED.match(plan)
    if found is None or found[1] is None:
        return found is not None
    projected = re.search(rf"^\({found[1]}\) Project.*\nOutput \[\d+\]: \[(.*)\]$", plan, re.MULTILINE)
    return projected is not None and all(_RENAMED.fullmatch(column) for column in projected[1].split(", "))


_CACHED = re.compile(
    r"== Physical Plan ==\n(?:AdaptiveSparkPlan \(\d+\)\n\+- )?(?:(?:\* )?Project \((\d+)\)\n *\+- )?InMemoryTableScan "
)
_RENAMED = re.compile(r"\w+#\d+L?( AS \w+#\d+L?)?")
