"""States as plain data: the same bits back, and nothing that a state does not have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hanse.engines.duckdb import DuckDB
from hanse.errors import ShapeError
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.bisecting_state import BisectingState
from hanse.models.catalog import ESTIMATORS, for_rounds
from hanse.models.codec import state_from_plain, state_to_plain

ROWS = np.random.default_rng(7).normal(size=(60, 2)) ** 3


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    import pyarrow as pa

    opened = DuckDB(threads=1)
    opened.register("rows_", pa.table({"f0": ROWS[:, 0], "f1": ROWS[:, 1], "target": np.arange(60) % 2 / 1.0}))
    yield opened
    opened.close()


def states(engine: DuckDB, estimator: Any) -> list[Any]:
    """Every state of a training."""
    found = [estimator.start(("f0", "f1"))]
    while not estimator.done(found[-1]):
        found.append(estimator.advance(found[-1], engine.observe("rows_", estimator.observe(found[-1]))))
    return found


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.model_type)
def test_every_state_of_a_training_survives_the_wire(engine: DuckDB, kind: Any) -> None:
    options = {"num_clusters": 3} if kind.family == "clustering" else {}
    for estimator in (kind(**options), for_rounds(kind(**options))[0]):
        for state in states(engine, estimator):
            plain = state_to_plain(state)
            again = state_from_plain(type(state), json.loads(json.dumps(plain)))
            assert state_to_plain(again) == plain


def plain() -> dict[str, Any]:
    state = state_to_plain(BisectingKMeans().start(("f0", "f1")))
    return {
        **state,
        "tree": [{"count": 2.0, "sums": [1.0, 2.0], "sides": [1, 2], "pair": [[0.0, 0.0], [1.0, 1.0]]}, {}],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surplus": 1}, r"this is no BisectingState: unknown field state\.surplus: "),
        ({"pahse": "split"}, r"unknown field state\.pahse: did you mean phase\?"),
        ({"tree": [{}, {"wieght": 1.0}]}, r"unknown field state\.tree\[1\]\.wieght: did you mean weight\?"),
        ({"tree": [{"sql": "SELECT 1"}]}, r"unknown field state\.tree\[0\]\.sql: "),
        ({"tree": "x"}, "this is no BisectingState"),
        ({"tree": [1]}, "this is no BisectingState"),
        ({"phase": "nonsense"}, "this is no BisectingState"),
        ({"origin": [0.0, float("nan")]}, "a number that is not finite"),
        ({"origin": "x"}, "this is no BisectingState"),
        ({"features": None}, "this is no BisectingState"),
    ],
)
def test_a_field_that_is_unknown_or_of_another_type_is_refused(change: dict[str, Any], message: str) -> None:
    assert isinstance(state_from_plain(BisectingState, plain()), BisectingState)
    with pytest.raises(ShapeError, match=message):
        state_from_plain(BisectingState, {**plain(), **change})


@pytest.mark.parametrize("data", [None, 1, "x", [], [plain()], {}])
def test_what_is_no_state_at_all_is_refused(data: Any) -> None:
    with pytest.raises(ShapeError, match="this is no BisectingState"):
        state_from_plain(BisectingState, data)


def test_a_number_that_is_not_finite_is_not_sent() -> None:
    state = BisectingState(("f0",), "moments", origin=np.array([np.inf]))
    with pytest.raises(ShapeError, match=r"state\.origin\[0\] = inf"):
        state_to_plain(state)
