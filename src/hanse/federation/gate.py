"""The gate: small-cell suppression, the only place from which statistics leave a silo.

For each released cell (a cluster's statistics, a contingency cell, a row count):

- fewer than ``min_customers`` distinct customers: its rows are counted as rows of the nearest sibling cell; where there
  is no sibling, nothing leaves. The reply carries a reason code, not the count. Totals stay what they are: the sum over
  the cells of an answer does not depend on what was merged.
- one customer may not owe more than ``dominance_percent`` of any released sum of squares, nor of the squares about the
  silo's own mean in any feature, for a plan chooses units and origins; such a cell is merged in the same way. Of the
  siblings the nearest is taken that the cell does not dominate.
- total minus the released cells must not show fewer than ``min_customers`` customers: the rows that are in no cell of
  a plan, and, over all answers from the same data, what a set of merged cells holds beside the cells that are released
  later.
- where rows have labels, each label needs ``min_customers`` distinct customers: sums over both would show the few, and
  where all have the same, they would show everybody's.
- minimum and maximum are single customers: never released. Non-finite numbers, and counts that do not add up: refused.

**What it is and is not.** Suppression protects against reading a person out of *one* release. It does not hold against
differencing *many*: in a trial with three silos of 1,300 customers, every cell of an un-noised ``rounds`` training held
at least 220, yet 8 of 57 steps moved exactly one customer across a split, whose features then fell out of two
consecutive sums to 4e-13; of 79 gated cells from 20 differently parametrised one-shot trainings, 5 pairs differed by
exactly one customer. Hence the release budgets, ``exact_rounds = false`` by default, and strategy ``private``. It is no
anonymisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from hanse.federation.policy import FLOOR_CUSTOMERS
from hanse.federation.refusals import RefusalError
from hanse.federation.tally import Tally, shares
from hanse.messages import Reason
from hanse.statistics import BoolArray, FloatArray

__all__ = ["Gate", "Question", "Release"]

Integers = npt.NDArray[Any]

_WORDS: Final = {
    "small": "fewer customers than min_customers: nothing leaves",
    "dominant": "one customer owes more of a sum of squares than dominance_percent: nothing leaves; set bounds",
    "complementary": "subtracted from what was released before, this would show fewer customers than min_customers",
}

_FEW_OF_A_CLASS: Final = "fewer customers than min_customers have one of the labels: nothing leaves"


class Question(Protocol):
    """What the gate asks of a snapshot: :class:`hanse.federation.tally.Asked`."""

    @property
    def cells(self) -> int:
        """Of the plan."""
        ...

    @property
    def labels(self) -> Integers:
        """(rows,) the plan's cell of each row, -1 for none."""
        ...

    @property
    def places(self) -> FloatArray:
        """(k, d) where the plan's cells lie."""
        ...

    def tally(self, mapping: Sequence[int]) -> Tally:
        """Count and sum, rows of cell ``i`` counted as rows of ``mapping[i]``."""
        ...


@dataclass(frozen=True)
class Release:
    """What may leave.

    Args:
        tally: of the joined cells; cells that were joined with another are empty.
        mapping: (k,) for each cell of the plan the one that its rows are counted in.
        causes: reason codes of the joins.
        masks: (rows,) each, the rows of cells that were joined; later answers from the same data heed them.
    """

    tally: Tally
    mapping: tuple[int, ...]
    causes: tuple[str, ...] = ()
    masks: tuple[BoolArray, ...] = ()

    @property
    def merged(self) -> int:
        """How many cells were joined with another."""
        return sum(i != j for i, j in enumerate(self.mapping))

    @property
    def smallest(self) -> int:
        """Distinct customers of the smallest cell that holds any."""
        held = self.tally.customers[self.tally.customers > 0]
        return int(held.min()) if len(held) else 0

    def reasons(self, cells: Sequence[int] | None = None) -> tuple[Reason, ...]:
        """Codes for the coordinator.

        Args:
            cells: the released cell's number for each cell of the plan; without it, cells keep their numbers.
        """
        if not self.merged:
            return ()
        told = tuple(int(c) for c in (self.mapping if cells is None else cells))
        others = tuple(Reason(code=code) for code in self.causes if code != "small")
        return (Reason(code="merged", cells=told), *others)


@dataclass(frozen=True)
class Gate:
    """The rules as they hold for one answer.

    Args:
        min_customers: distinct customers per cell.
        dominance_percent: of a sum of squares, at the most, from one customer.
        masks: rows of cells that earlier answers from the same data joined.
    """

    min_customers: int
    dominance_percent: float
    masks: Sequence[BoolArray] = ()

    def __post_init__(self) -> None:
        if self.min_customers < FLOOR_CUSTOMERS:
            raise ValueError(f"min_customers = {self.min_customers}: need {FLOOR_CUSTOMERS} or more")

    def release(self, question: Question, customers: Integers | None = None, classes: Sequence[int] = ()) -> Release:
        """Judge a question's cells, and join them until every one may leave.

        Args:
            question: what was asked.
            customers: (rows,) of the snapshot's rows; needed where there are masks.
            classes: distinct customers of each class of the rows; each must be enough, and none is none.

        Raises:
            RefusalError: nothing of it may leave; the code says why.
        """
        if any(count < self.min_customers for count in classes):
            raise RefusalError("small", _FEW_OF_A_CLASS, lasting=True)
        mapping = list(range(question.cells))
        causes: dict[str, None] = {}
        while True:
            tally = question.tally(mapping)
            _check(tally)
            held = [int(i) for i in np.flatnonzero(tally.customers > 0)]
            if not held:
                raise _refused("small")
            if 0 < tally.outside < self.min_customers:
                raise _refused("complementary")
            unsafe = self._unsafe(tally, held, question, mapping, customers)
            if not unsafe:
                return Release(tally, tuple(mapping), tuple(causes), _masks(question, mapping))
            if len(held) == 1:
                raise _refused(next(iter(unsafe.values())))
            causes.update(dict.fromkeys(unsafe.values()))
            self._join(mapping, unsafe, tally, question)

    def _unsafe(
        self, tally: Tally, held: list[int], question: Question, mapping: list[int], customers: Integers | None
    ) -> dict[int, str]:
        """Cells that may not leave as they are, the smallest first, and why."""
        found: dict[int, str] = {}
        share = tally.share
        for i in sorted(held, key=lambda c: int(tally.customers[c])):
            if tally.customers[i] < self.min_customers:
                found[i] = "small"
            elif share[i] * 100 > self.dominance_percent:
                found[i] = "dominant"
        if self.masks and customers is not None and not found:
            labels = np.asarray([*mapping, -1])[question.labels]
            for mask in self.masks:
                inside = _inside(mask, labels, held)
                rest = mask & ~np.isin(labels, inside)
                if inside and 0 < len(np.unique(customers[rest])) < self.min_customers:
                    found.update(dict.fromkeys(inside, "complementary"))
        return found

    def _join(self, mapping: list[int], unsafe: dict[int, str], tally: Tally, question: Question) -> None:
        """Join each unsafe cell with its nearest sibling that it does not dominate then, or else with the nearest.

        A cell that others joined in this pass waits for the next, when it has been counted anew.
        """
        groups, centroid = _centroids(mapping, question)
        touched: set[int] = set()
        for cell in unsafe:
            others = [g for g in groups if g != cell and mapping[g] == g]
            if cell in touched or not others:
                continue
            distance = {g: float(((centroid[g] - centroid[cell]) ** 2).sum()) for g in others}
            nearest = sorted(others, key=lambda g, d=distance: (d[g], g))  # type: ignore[misc]  # bound now
            squares = tally.squares[nearest] + tally.squares[cell]
            together = shares(np.maximum(tally.largest[nearest], tally.largest[cell]), squares) * 100
            fine = [g for g, share in zip(nearest, together, strict=True) if share <= self.dominance_percent]
            target = (fine or nearest)[0]
            for i, now in enumerate(mapping):
                if now == cell:
                    mapping[i] = target
            touched |= {cell, target}


def _inside(mask: BoolArray, labels: Integers, held: list[int]) -> list[int]:
    """The cells all of whose rows are in the mask."""
    return [i for i in held if not np.any(labels[~mask] == i)]


def _centroids(mapping: Sequence[int], question: Question) -> tuple[list[int], dict[int, FloatArray]]:
    """The cells that hold rows now, and where they lie."""
    rows = np.bincount(question.labels[question.labels >= 0], minlength=len(mapping)).astype(np.float64)
    groups = sorted({mapping[i] for i in range(len(mapping)) if rows[i] > 0})
    centroid = {}
    for g in groups:
        members = [i for i in range(len(mapping)) if mapping[i] == g and rows[i] > 0]
        centroid[g] = np.average(question.places[members], axis=0, weights=rows[members])
    return groups, centroid


def _masks(question: Question, mapping: Sequence[int]) -> tuple[BoolArray, ...]:
    """The rows of each set of joined cells, unless they are all rows."""
    targets = sorted({j for i, j in enumerate(mapping) if i != j})
    if not targets:
        return ()
    labels = np.asarray([*mapping, -1])[question.labels]
    masks = [labels == j for j in targets]
    return tuple(mask for mask in masks if not mask.all())


def _check(tally: Tally) -> None:
    """Refuse numbers that are not finite and counts that do not add up.

    Raises:
        RefusalError: with field and value for the silo's own ledger.
    """
    for name, array in tally.arrays.items():
        if not np.isfinite(array).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise _unsound(name, f"{name}{list(place)} = {array[place]}: need finite numbers")
    count = tally.arrays.get("count")
    if count is not None and count.shape == tally.rows.shape:
        wrong = np.flatnonzero(count != tally.rows)
        if len(wrong):
            i = int(wrong[0])
            raise _unsound("count", f"count[{i}] = {count[i]:g}, but the cell holds {tally.rows[i]} rows")
    if np.any(tally.customers > tally.rows):
        i = int(np.argmax(tally.customers > tally.rows))
        raise _unsound("count", f"cell {i} holds {tally.customers[i]} customers in {tally.rows[i]} rows")


def _unsound(statistic: str, detail: str) -> RefusalError:
    text = f"statistic {statistic} is not finite, or counts do not add up"
    return RefusalError("data", text, statistic=statistic, detail=detail, status="failed")


def _refused(code: str) -> RefusalError:
    return RefusalError(code, _WORDS[code], lasting=True)
