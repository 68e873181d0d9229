"""One plan that several silos of a process are asked: each gives what its own rows hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from silo_support import Talk, blobs, codes

from hanse.federation.observing import observed
from hanse.federation.policy import Policy
from hanse.messages import Reply
from hanse.models.codec import state_to_plain
from hanse.models.kmeans import KMeans, KMeansState

POLICY = Policy(exact_rounds=True, cells_per_day=10**6, min_customers=5)
CENTROIDS = np.array([[0.0, 0.0], [10.0, -10.0], [20.0, -20.0]])
ESTIMATOR = KMeans(num_clusters=3)


def plan(shift: float) -> dict[str, Any]:
    state = KMeansState(("x", "y"), "step", np.array([1.0, shift]), centroids=CENTROIDS + shift)
    given = {"state": state_to_plain(state), "model_type": "kmeans", "options": asdict(ESTIMATOR)}
    return {**given, "strategy": "rounds"}


def check(reply: Reply, rows: Any, shift: float, merged: bool) -> None:
    """What NumPy finds in the rows."""
    origin = np.array([1.0, shift])
    label = ((rows[:, None] - (CENTROIDS + shift + origin)) ** 2).sum(axis=2).argmin(axis=1)
    label[label == 2] = 1 if merged else 2
    away = rows - origin
    assert reply.status == "ok"
    assert codes(reply) == ({"merged"} if merged else set())
    for i in range(3):
        inside = away[label == i]
        assert reply.statistics["count"][i] == len(inside)
        assert reply.statistics["sum"][i] == pytest.approx(inside.sum(axis=0).tolist(), rel=1e-12, abs=1e-12)
        assert reply.statistics["square"][i] == pytest.approx((inside**2).sum(), rel=1e-12)


def test_silos_of_one_process_give_their_own_rows_statistics(tmp_path: Path) -> None:
    """One row each; several rows each, so that another query is written; and a cell that joins another."""
    rows = [blobs([30, 20, 10], seed=1), blobs([40, 30, 20], seed=2), blobs([30, 20, 3], seed=3)]
    customers: list[Any] = [None, [i // 2 for i in range(90)], None]
    talks = []
    for number, (held, whose) in enumerate(zip(rows, customers, strict=True)):
        (tmp_path / str(number)).mkdir()
        talks.append(Talk(tmp_path / str(number), held, POLICY, customers=whose))
    with ThreadPoolExecutor(3) as pool:
        for shift in (0.25, 0.5, 0.25):
            fields = plan(shift)
            replies = list(pool.map(lambda talk: talk.ask("observe", **fields), talks))  # noqa: B023  # awaited here
            for number, reply in enumerate(replies):
                check(reply, rows[number], shift, merged=number == 2)
    for talk in talks:
        talk.silo.close()


def test_the_same_plan_is_made_once_and_another_is_another() -> None:
    first, second, third = (
        observed("kmeans", asdict(ESTIMATOR), plan(shift)["state"], 2) for shift in (0.25, 0.25, 0.5)
    )
    assert first is second
    assert first is not third
