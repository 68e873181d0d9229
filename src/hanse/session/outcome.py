"""One statement on its way through a session, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hanse.errors import HanseError
from hanse.session.result import Facts
from hanse.sql.binder import Expansion, Planner, Prepared
from hanse.sql.nodes import TableFunction
from hanse.types import Parameters, Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from hanse.session.session import Session

__all__ = ["Call", "Outcome", "model_made"]


@dataclass(frozen=True)
class Outcome:
    """What a statement did."""

    kind: str
    reader: pa.RecordBatchReader | Facts
    warnings: tuple[str, ...] = ()
    explain: Callable[[HanseError], HanseError] | None = None


@dataclass(frozen=True)
class Call:
    """One statement on its way through a session."""

    session: Session
    parameters: Parameters
    into: str | None
    progress: Progress | None

    def planner(self) -> Planner:
        """Prepares this statement's queries."""
        return Planner(self.session.engine, self.parameters, self._expand)

    def _expand(self, function: TableFunction, query: Prepared | None) -> Expansion:
        from hanse.session.functions import expand

        return expand(self.session, self.parameters, function, query)


def model_made(kind: str, row: Sequence[Any], warnings: tuple[str, ...]) -> Outcome:
    """What a statement that makes a model gives: its id, name and version."""
    return Outcome(kind, Facts(["model_id", "model", "version"], [row]), warnings)
