"""What the columns of a report's customers are: who they are, what the model was trained on, what else there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hanse.errors import UsageError, nearest
from hanse.session.reporting import Gathering, quoted

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Columns", "columns_of"]

_MOST_FEATURES: Final = 24
_MOST_COMPANIONS: Final = 8
_MOST_CANDIDATES: Final = 8


@dataclass(frozen=True)
class Columns:
    """What the customers' columns are.

    Args:
        all: by name.
        customer: names a customer; empty if none does.
        trained: numbers that the model was trained on.
        others: other numbers.
    """

    all: tuple[str, ...]
    customer: str
    trained: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def numbers(self) -> tuple[str, ...]:
        """The trained ones first."""
        return (*self.trained, *self.others)

    @property
    def order(self) -> str:
        """What rows of one score are told apart by, so that the same rows are chosen again."""
        return ", ".join(quoted(c) for c in (*([self.customer] if self.customer else []), *self.trained)) or "1"


def columns_of(ask: Gathering, table: str, inputs: Sequence[str], wished: str | None) -> Columns:
    """What each column of a table is, by its type and by the model's features.

    Args:
        ask: runs the statements.
        table: holds the customers.
        inputs: what the model reads.
        wished: the column that names a customer; None to find one.

    Raises:
        UsageError: the wished column is not there.
    """
    schema = ask.session.sql(f"SELECT * FROM {table} LIMIT 0").schema
    wanted = {name.lower() for name in inputs}
    numbers = [f.name for f in schema if _is_number(f.type)]
    trained = [name for name in numbers if name.lower() in wanted]
    if not trained and not any(f.name.lower() in wanted for f in schema):
        trained = numbers  # bound by position
    left = [f for f in schema if f.name.lower() not in wanted and f.name not in trained]
    if wished is None:
        customer = _customer(ask, table, [f.name for f in left if _can_name(f.type)])
    else:
        found = next((name for name in schema.names if name.lower() == wished.lower()), None)
        if found is None:
            raise UsageError(f"--id {wished} is not a column of the SELECT: {nearest(wished, schema.names)}")
        customer = found
    others = [f.name for f in left if _is_number(f.type) and f.name != customer]
    return Columns(tuple(schema.names), customer, tuple(trained[:_MOST_FEATURES]), tuple(others[:_MOST_COMPANIONS]))


def _customer(ask: Gathering, table: str, candidates: Sequence[str]) -> str:
    """The column that tells most rows apart, one called like an identifier first; empty if none tells half of them."""
    tried = sorted(candidates, key=lambda name: "id" not in name.lower())[:_MOST_CANDIDATES]
    if not tried:
        return ""
    shown = ", ".join(f"COUNT(DISTINCT {quoted(c)}) AS c{i}" for i, c in enumerate(tried))
    (row,) = ask.rows("Which column names a customer", f"SELECT COUNT(*) AS n, {shown} FROM {table}")
    counts = [int(row[f"c{i}"]) for i in range(len(tried))]
    best = max(range(len(counts)), key=lambda i: (counts[i], -i))
    return tried[best] if counts[best] * 2 > int(row["n"]) else ""


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _can_name(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))
