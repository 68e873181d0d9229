"""The gate's rules, one by one, over real rows; and unsound numbers that no database would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from silo_support import Talk, blobs, new_run

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.federation.gate import Gate
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.federation.tally import Asked, Tally, joined


class Cells:
    """Rows in cells, without a database: customers (n,), cell (n,), values (n,)."""

    def __init__(self, cell: Sequence[int], customers: Sequence[int] | None = None, values: Any = None) -> None:
        self.labels = np.asarray(cell)
        self.customers = np.arange(len(cell)) if customers is None else np.asarray(customers)
        self.values = np.ones(len(cell)) if values is None else np.asarray(values, dtype=np.float64)
        self.cells = int(self.labels.max()) + 1
        self.places = np.arange(self.cells, dtype=np.float64)[:, None]
        self.spoil: dict[str, Any] = {}

    def tally(self, mapping: Sequence[int]) -> Tally:
        moved = np.asarray([*mapping, -1])[self.labels]
        arrays: dict[str, Any] = {"count": np.zeros(self.cells), "square": np.zeros(self.cells)}
        rows, customers = (np.zeros(self.cells, dtype=np.int64) for _ in range(2))
        largest = np.zeros((self.cells, 1))
        for i in range(self.cells):
            inside = moved == i
            arrays["count"][i] = rows[i] = inside.sum()
            customers[i] = len(set(self.customers[inside]))
            squares = [float((self.values[inside & (self.customers == c)] ** 2).sum()) for c in set(self.customers)]
            arrays["square"][i] = sum(squares)
            largest[i] = max(squares)
        outside = moved == -1
        found = Tally(
            arrays,
            rows,
            customers,
            arrays["square"][:, None],
            largest,
            int(outside.sum()),
            len(set(self.customers[outside])),
        )
        return replace(found, **self.spoil)


def test_cells_of_enough_customers_leave_as_they_are() -> None:
    release = Gate(3, 100).release(Cells([0] * 5 + [1] * 3))
    assert release.mapping == (0, 1)
    assert release.merged == 0
    assert release.reasons() == ()
    assert release.masks == ()


def test_a_small_cell_joins_its_nearest_sibling_and_the_total_stays() -> None:
    cells = Cells([0] * 5 + [1] * 4 + [2] * 2)
    release = Gate(3, 100).release(cells)
    assert release.mapping == (0, 1, 1)
    assert release.tally.arrays["count"].tolist() == [5.0, 6.0, 0.0]
    (reason,) = release.reasons()
    assert (reason.code, reason.cells) == ("merged", (0, 1, 1))
    assert release.masks[0].tolist() == [False] * 5 + [True] * 6


def test_customers_count_not_rows() -> None:
    cells = Cells([0] * 6 + [1] * 9, customers=[0, 1, 2, 3, 4, 5, *[6, 7] * 4, 6])
    assert Gate(3, 100).release(cells).mapping == (0, 0)


def test_a_customer_of_two_small_cells_counts_once_when_they_join() -> None:
    cells = Cells([0] * 10 + [1, 1, 2, 2], customers=[*range(10), 10, 11, 10, 11])
    release = Gate(3, 100).release(cells)
    assert set(release.tally.customers[release.tally.customers > 0]) == {12}


def test_joins_cascade_until_every_cell_may_leave() -> None:
    release = Gate(4, 100).release(Cells([0, 1, 1, 2, 3, 3, 4, 5, 6, 6]))
    held = release.tally.customers[release.tally.customers > 0]
    assert held.min() >= 4
    assert held.sum() == 10


def test_fewer_customers_than_the_minimum_in_all_leave_nothing() -> None:
    with pytest.raises(RefusalError, match="nothing leaves") as caught:
        Gate(10, 100).release(Cells([0] * 4 + [1] * 5))
    assert caught.value.code == "small"
    assert not any(ch.isdigit() for ch in str(caught.value))


def test_an_empty_cell_is_zero_and_joins_nothing() -> None:
    release = Gate(3, 100).release(Cells([0] * 5 + [2] * 5))
    assert release.mapping == (0, 1, 2)


def test_a_dominated_cell_joins_and_says_so() -> None:
    cells = Cells([0] * 5 + [1] * 20, values=[9.0, 1, 1, 1, 1, *[3.0] * 20])
    release = Gate(3, 50).release(cells)
    assert release.mapping == (1, 1)
    assert {r.code for r in release.reasons()} == {"merged", "dominant"}


def test_a_dominated_whole_leaves_nothing() -> None:
    with pytest.raises(RefusalError) as caught:
        Gate(3, 50).release(Cells([0] * 5, values=[9.0, 1, 1, 1, 1]))
    assert caught.value.code == "dominant"


def test_rows_outside_every_cell_are_a_cell_too() -> None:
    with pytest.raises(RefusalError) as caught:
        Gate(3, 100).release(Cells([0] * 5 + [1] * 5 + [-1] * 2))
    assert caught.value.code == "complementary"
    assert Gate(3, 100).release(Cells([0] * 5 + [1] * 5 + [-1] * 3)).merged == 0


def test_what_an_earlier_answer_merged_is_not_taken_apart() -> None:
    """A and B were released joined, for B is small: releasing A without B would show B."""
    first = Gate(3, 100).release(Cells([0] * 6 + [1] * 5 + [2] * 2))
    alone = Cells([1] * 6 + [0] * 5 + [1] * 2)  # cell 0 is A; B is with the others
    assert Gate(3, 100).release(alone, alone.customers).merged == 0
    gate = Gate(3, 100, first.masks)
    assert gate.release(alone, alone.customers).merged == 1
    only = Cells([-1] * 6 + [0] * 5 + [-1] * 2)
    with pytest.raises(RefusalError) as caught:
        gate.release(only, only.customers)
    assert caught.value.code == "complementary"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named_with_their_value_for_the_owner_alone(value: float) -> None:
    cells = Cells([0] * 5)
    cells.spoil = {"arrays": {"count": np.array([5.0]), "sum": np.array([[1.0, value]])}}
    with pytest.raises(RefusalError) as caught:
        Gate(3, 100).release(cells)
    assert caught.value.code == "data"
    assert caught.value.statistic == "sum"
    assert f"sum[0, 1] = {value}" in caught.value.detail
    assert str(value) not in str(caught.value)


def test_counts_that_do_not_add_up_are_refused() -> None:
    cells = Cells([0] * 5)
    cells.spoil = {"arrays": {"count": np.array([7.0])}}
    with pytest.raises(RefusalError) as caught:
        Gate(3, 100).release(cells)
    assert "count[0] = 7, but the cell holds 5 rows" in caught.value.detail


def test_the_floor_holds_whatever_is_asked() -> None:
    with pytest.raises(ValueError, match="need 3 or more"):
        Gate(2, 50)


def test_the_docstring_says_what_the_gate_is_not() -> None:
    import hanse.federation.gate as module

    assert "It does not hold against\ndifferencing *many*" in str(module.__doc__)
    assert "8 of 57 steps moved exactly one customer" in str(module.__doc__)


# -- over a real database ---------------------------------------------------------------------


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    rows = blobs([30, 20, 4])
    with Talk(tmp_path, np.concatenate([rows, rows[:10]]), customers=[*range(54), *range(10)]) as opened:
        yield opened


def ask(talk: Talk, observation: Observation) -> Asked:
    snapshot = talk.silo._snapshots.open(new_run(), "features", None, 0.0)
    view = snapshot.view({"x": snapshot.column("x"), "y": snapshot.column("y")})
    return Asked(snapshot, view, observation, ["x", "y"])


def by_thirds() -> e.Expression:
    x = e.column("x")
    first = e.when(e.at_least(e.number(5.0), x), e.integer(0))
    return e.case([first, e.when(e.at_least(e.number(15.0), x.copy()), e.integer(1))], e.integer(2))


def test_a_tally_is_what_numpy_gives(talk: Talk) -> None:
    x = e.column("x")
    aggregates = {
        "count": Aggregate((e.number(1.0),)),
        "square": Aggregate((e.square(x), e.square(e.column("y"))), (2,)),
    }
    asked = ask(talk, Observation(aggregates, (), by_thirds(), 3))
    found = asked.tally(range(3))
    assert found.rows.tolist() == [40, 20, 4]
    assert found.customers.tolist() == [30, 20, 4]
    table = asked.snapshot.engine.arrays(f"SELECT customer, x, y FROM {asked.view} ORDER BY row_")
    for i in range(3):
        inside = asked.labels == i
        for j, name in enumerate("xy"):
            squares = np.asarray(table[name])[inside] ** 2
            assert found.arrays["square"][i, j] == pytest.approx(squares.sum(), rel=1e-12)
        each = [
            max(
                sum(np.asarray(table[n])[inside & (table["customer"] == c)] ** 2) / found.arrays["square"][i, j]
                for j, n in enumerate("xy")
            )
            for c in set(table["customer"][inside])
        ]
        assert found.share[i] == pytest.approx(max(each), rel=1e-12)


@pytest.mark.parametrize("customers", [range(64), [*range(54), *range(10)]])
def test_rows_of_no_cell_are_counted_together_by_their_customers(tmp_path: Path, customers: Sequence[int]) -> None:
    rows = blobs([30, 20, 4])
    with Talk(tmp_path, np.concatenate([rows, rows[:10] + 40]), customers=customers) as talk:
        x = e.column("x")
        nowhere = e.case([e.when(e.at_least(x, e.number(15.0)), e.integer(-1))], None)
        cell = e.case([e.when(e.at_least(e.number(5.0), x.copy()), e.integer(0))], nowhere)
        bare = Aggregate((e.case([e.when(e.at_least(x.copy(), e.number(99.0)), x.copy())], None),))
        found = ask(talk, Observation({"square": bare}, (), cell, 2)).tally(range(2))
    assert found.rows.tolist() == [30, 0]
    assert found.customers.tolist() == [30, 0]
    assert (found.outside_rows, found.outside) == (34, len(set(customers[30:])))
    assert found.arrays["square"].tolist() == found.largest[:, 0].tolist() == [0.0, 0.0]  # a sum of NULL is nothing


def test_merging_in_the_database_relabels_rows(talk: Talk) -> None:
    observation = Observation({"count": Aggregate((e.number(1.0),))}, (), by_thirds(), 3)
    release = Gate(10, 100).release(ask(talk, observation))
    assert release.mapping == (0, 1, 1)
    assert release.tally.arrays["count"].tolist() == [40.0, 24.0, 0.0]


def test_an_identity_changes_nothing(talk: Talk) -> None:
    observation = Observation({"count": Aggregate((e.number(1.0),))}, (), by_thirds(), 3)
    assert joined(observation, range(3)) is observation


@pytest.mark.parametrize("combine", ["min", "max"])
def test_minimum_and_maximum_never_leave(talk: Talk, combine: Any) -> None:
    with pytest.raises(RefusalError, match="single customers") as caught:
        Gate(3, 100).release(ask(talk, Observation({"least": Aggregate((e.column("x"),), (), combine)})))
    assert caught.value.code == "policy"


def test_a_policy_cannot_ask_for_less_than_the_floor(tmp_path: Path) -> None:
    with Talk(tmp_path, blobs([20, 2]), Policy(min_customers=1, dominance_percent=100)) as talk:
        reply = talk.ask("summarize", payload={"clusters": 2})
        assert sum(reply.statistics["count"]) == 22
        assert min(reply.statistics["count"]) >= 3
