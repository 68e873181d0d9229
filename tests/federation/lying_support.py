"""A silo that changes its replies before they are sent, beside two honest ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from silo_support import blobs, fill, silo_toml

import hanse
from hanse.federation.silo import Silo
from hanse.messages import Reason, Reply, Task

__all__ = ["Lie", "league_of", "lying_with", "snapshots", "status", "training"]

SIZES = {"honest": [60, 40], "other": [50, 45], "liar": [55, 41]}
ALLOWED = (
    'strategies = ["one_shot", "article", "rounds"]\nexact_rounds = true\ninstall = "auto"\n'
    "runs_per_day = 1000\ncells_per_day = 100000\n"
    'model_types = ["bisecting_kmeans", "kmeans", "logistic_reg", "ecod", "mahalanobis"]'
)

Lie = Callable[[dict[str, Any]], object]
"""Changes statistics in place."""


@contextmanager
def league_of(folder: Path) -> Iterator[hanse.Session]:
    """A session with three silos; column ``z`` is a label."""
    publish = '[publish.features]\nrelation = "features"\ncustomer = "customer_id"\ncolumns = ["x", "y", "z"]\n'
    with hanse.connect() as session:
        for number, (name, sizes) in enumerate(SIZES.items()):
            (folder / name).mkdir()
            rows = blobs(sizes, seed=number)
            label = np.arange(len(rows)) % 2
            fill(folder / name / "shop.duckdb", np.column_stack([rows, label]))
            config = silo_toml(folder / name, ALLOWED, publish, name)
            session.sql(f"CREATE SILO {name} OPTIONS (config = '{config}')")
        yield session


def lying_with(
    patch: pytest.MonkeyPatch,
    kind: str,
    lie: Lie | None = None,
    *,
    phase: int | str | None = None,
    facts: Mapping[str, Any] | None = None,
    reasons: tuple[Reason, ...] | None = None,
    fingerprint: str | None = None,
) -> None:
    """Have silo ``liar`` say something else in answers of one kind; ledger and signature agree with it."""
    answer = Silo.answer

    def changed(self: Silo, task: Task, *, coordinator: str = "") -> Reply:
        reply = answer(self, task, coordinator=coordinator)
        if (self.config.name, task.kind) != ("liar", kind) or phase not in (None, task.payload.get("phase")):
            return reply
        statistics = copy.deepcopy(reply.statistics)
        if lie is not None:
            lie(statistics)
        return msgspec.structs.replace(
            reply,
            statistics=statistics,
            facts=reply.facts if facts is None else dict(facts),
            reasons=reply.reasons if reasons is None else reasons,
            fingerprint=reply.fingerprint if fingerprint is None else fingerprint,
        )

    patch.setattr(Silo, "answer", changed)


def training(
    strategy: str = "one_shot",
    scaled: bool = True,
    options: str = "MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2",
    columns: str = "x, y",
    quorum: int = 2,
) -> str:
    steps = "TRANSFORM (vector_assembler(array(x, y)) f, standard_scaler(f, true, true) z) " if scaled else ""
    return (
        f"CREATE OR REPLACE FEDERATED MODEL g {steps}OPTIONS ({options}, STRATEGY = '{strategy}', QUORUM = {quorum}) "
        f"OVER SILOS (honest, other, liar) AS SELECT {columns} FROM features"
    )


def status(session: hanse.Session) -> str:
    """How the model's last run ended."""
    run = session.federation.journal.last_run("g")
    assert run is not None
    return run.status


def snapshots(folder: Path) -> list[Path]:
    """Copies of rows that silos still keep."""
    return sorted(folder.glob("*/*/snapshots/*"))
