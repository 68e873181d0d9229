"""What a silo compares two snapshots by, customer by customer, without keeping their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Digest"]

Integers = npt.NDArray[Any]


@dataclass(frozen=True)
class Digest:
    """Hashes of the rows of one snapshot.

    Args:
        key: (n,) a keyed hash of each customer, ascending.
        rows: (n,) a hash of the customer's rows.
        columns: (n, d) a short hash of what each published column holds in them.
    """

    key: Integers
    rows: Integers
    columns: Integers

    def changed(self, other: Digest) -> int:
        """The fewest customers, if any, who changed in one of the columns, or in the rows as a whole; 0 is nobody.

        Who came or left has changed in all. A column is looked at by itself, or one that changes for everybody, such as
        the days since something, would hide the few that changed in another.
        """
        _, mine, theirs = np.intersect1d(self.key, other.key, assume_unique=True, return_indices=True)
        moved = len(self.key) + len(other.key) - 2 * len(mine)
        counts = [moved + np.count_nonzero(self.rows[mine] != other.rows[theirs])]
        if self.columns.shape[1] == other.columns.shape[1]:
            differing = self.columns[mine] != other.columns[theirs]
            counts += [moved + n for n in np.count_nonzero(differing, axis=0)]
        return int(min((n for n in counts if n), default=0))

    def table(self) -> npt.NDArray[np.uint32]:
        """(n, 4 + d): the halves of key and rows, and the columns; to be kept."""
        halves = [np.ascontiguousarray(a, dtype="<u8").view("<u4").reshape(-1, 2) for a in (self.key, self.rows)]
        return np.column_stack([*halves, self.columns.astype(np.uint32)])

    @classmethod
    def of_table(cls, table: npt.NDArray[np.uint32]) -> Digest:
        """What :meth:`table` gave."""
        key, rows = (np.ascontiguousarray(table[:, i : i + 2]).view("<u8").ravel() for i in (0, 2))
        return cls(key, rows, table[:, 4:])
