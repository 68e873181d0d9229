"""The law of strategy ``rounds``: sums of sums are sums, so training over many holders is training on pooled rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from model_data import Rows, features_of, holders, predicted

from hanse.engines.duckdb import DuckDB
from hanse.estimator import Holder
from hanse.models.catalog import ESTIMATORS, for_rounds
from hanse.models.codec import state_from_plain, state_to_plain

CLUSTERINGS = [kind for kind in ESTIMATORS if "num_clusters" in {field.name for field in fields(kind)}]
HOLDERS = (1, 2, 10, 100)
CLUSTERS = 3
CASES = [
    ("tails", 1),
    ("tails", 2),
    ("tails", 10),
    *(("far", count) for count in HOLDERS),
]  # a hundred, where rounds are few


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    opened = DuckDB(threads=1)
    yield opened
    opened.close()


def tails() -> Rows:
    """Purchases: most are small, some are huge; no clusters that anybody drew."""
    random = np.random.default_rng(23)
    return np.exp(random.normal(0.0, 1.0, (900, 3)))


def far() -> Rows:
    """Groups a million standard deviations from zero, where raw sums of squares would keep no digit of a cluster."""
    random = np.random.default_rng(29)
    centres = 1e6 + np.array([[0.0, 0.0, 0.0], [6.0, 0.0, 3.0], [0.0, 9.0, -4.0]])
    return centres[random.integers(0, 3, 900)] + random.normal(size=(900, 3))


ROWS = {"tails": tails(), "far": far()}


def owners(count: int, size: int) -> list[int]:
    """A third of the holders without rows, a third with one row each, and the others with as many as it happens."""
    if count == 1:
        return [0] * size
    empty, single = count // 3, max(1, count // 3)
    large = np.arange(empty + single, count)
    random = np.random.default_rng(count)
    owner = np.concatenate([np.arange(empty, empty + single), random.choice(large, size - single)])
    random.shuffle(owner)
    return owner.tolist()


def in_rounds(estimator: Any, features: Sequence[str], parties: Sequence[Holder]) -> tuple[Any, float]:
    """Train as strategy ``rounds`` does, each state through JSON as on the wire; the model and its inertia."""
    trained, seeding = for_rounds(estimator)
    if seeding is None:
        state = trained.start(features)
    else:
        state = trained.start_at(seeding.model(_end(seeding, seeding.start(features), parties)))
    end = _end(trained, state, parties)
    return trained.model(end), trained.progress(end)["inertia"]


def _end(estimator: Any, state: Any, parties: Sequence[Holder]) -> Any:
    while not estimator.done(state):
        state = state_from_plain(type(state), json.loads(json.dumps(state_to_plain(state))))
        parts = [party(estimator.observe(state)) for party in parties]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        state = estimator.advance(state, total)
    return state


@pytest.mark.parametrize("count", [2, 10, 100])
def test_among_the_holders_are_empty_ones_and_ones_of_a_single_row(count: int) -> None:
    rows = np.bincount(owners(count, 900), minlength=count)
    assert rows.sum() == 900
    assert (rows == 1).any()
    assert (rows == 0).any() or count == 2
    assert (rows > 9).any()


@pytest.mark.parametrize(("data", "count"), CASES)
@pytest.mark.parametrize("kind", CLUSTERINGS, ids=lambda kind: kind.model_type)
def test_rounds_give_the_inertia_of_pooled_rows(engine: DuckDB, kind: Any, data: str, count: int) -> None:
    rows = ROWS[data]
    weight = np.ones(len(rows))
    estimator = kind(num_clusters=CLUSTERS, max_iter=4)
    pooled, whole = in_rounds(estimator, features_of(rows), holders(engine, rows, weight, [0] * len(rows), 1))
    owner = owners(count, len(rows))
    model, inertia = in_rounds(estimator, features_of(rows), holders(engine, rows, weight, owner, count))
    assert inertia == pytest.approx(whole, rel=1e-9, abs=0.0)
    assert inertia == pytest.approx(measured(rows, predicted(engine, model, rows)), rel=1e-9, abs=0.0)
    for ours, theirs in zip(model.clusters, pooled.clusters, strict=True):
        assert ours.count == theirs.count
        np.testing.assert_allclose(ours.centroid, theirs.centroid, rtol=1e-9, atol=1e-9)


def measured(rows: Rows, labels: Any) -> float:
    """Inertia by NumPy, of the rows as the model's own SQL labels them."""
    parts = [rows[labels == cluster] for cluster in range(CLUSTERS)]
    return float(sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts))
