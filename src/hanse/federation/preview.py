"""What would leave, shown to the silo's owner alone: cell sizes, merges and refusals; nothing is sent or recorded."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import msgspec
import numpy as np

from hanse.errors import HanseError, UsageError, nearest
from hanse.federation.gate import Gate, Release
from hanse.federation.kinds import clustered, local_cells, moments
from hanse.federation.labelled import fit
from hanse.federation.memory import Memory
from hanse.federation.refusals import RefusalError
from hanse.federation.silo import Silo
from hanse.federation.snapshot import Snapshot
from hanse.federation.tally import Asked
from hanse.messages import Task
from hanse.models.logistic_regression import LogisticRegression

__all__ = ["Cell", "Preview", "preview"]

_PATIENCE_S: Final = 10.0


@dataclass(frozen=True)
class Cell:
    """One local cluster.

    Args:
        number: of the cluster.
        customers: distinct ones.
        rows: of it.
        share_percent: of a sum of squares, from one customer, at the most.
        leaves_as: the released cell's number, or -1.
    """

    number: int
    customers: int
    rows: int
    share_percent: float
    leaves_as: int


@dataclass(frozen=True)
class Preview:
    """What one relation of one silo would release.

    Args:
        silo: id.
        relation: published.
        rows: of it.
        customers: of it.
        verdicts: by kind of task, ``leaves`` or why not.
        cells: of ``summarize``.
    """

    silo: str
    relation: str
    rows: int
    customers: int
    verdicts: dict[str, str]
    cells: tuple[Cell, ...]


def preview(silo: Silo, relation: str | None, clusters: int, label: str | None = None) -> Iterator[Preview]:
    """Work out what moments and local clusters would leave, the features standardised by the silo's own moments.

    Args:
        silo: opened.
        relation: a published one; None for all.
        clusters: local clusters.
        label: a published column; then also whether the coefficients of a local logistic regression would leave.

    Raises:
        UsageError: no such relation or column.
        HanseError: it cannot be read.
    """
    known = silo.relations()
    if relation is not None and relation.lower() not in {name.lower() for _, name in known}:
        raise UsageError(f"--relation {relation}: not published: {nearest(relation, [name for _, name in known])}")
    for id_, name in known:
        if relation is None or name.lower() == relation.lower():
            run = f"preview {uuid.uuid4().hex}"
            try:
                with silo.borrowed(run, id_, name, time.time() + _PATIENCE_S) as (snapshot, memory):
                    yield _of(silo, id_, name, snapshot, memory, clusters, label)
            except RefusalError as refusal:
                raise HanseError(f"{name}: {refusal.detail or refusal.message}") from None


def _of(
    silo: Silo, id_: str, name: str, snapshot: Snapshot, memory: Memory, clusters: int, label: str | None
) -> Preview:
    if label is not None and label.lower() not in {f.lower() for f in snapshot.types}:
        raise UsageError(f"--label {label}: not a column of {name}: {nearest(label, snapshot.types)}")
    features = tuple(f for f in snapshot.types if label is None or f.lower() != label.lower())
    held = [snapshot.engine.text(snapshot.column(f)) for f in features]
    columns = ", ".join(f"coalesce(avg({c}), 0), coalesce(stddev_samp({c}), 0)" for c in held)
    found = snapshot.engine.rows(f"SELECT {columns} FROM rows_")[0]
    scaler = {"mean": list(found[::2]), "deviation": list(found[1::2])}
    task = Task(
        run="preview",
        round=0,
        silo=id_,
        nonce="",
        expires_at=0.0,
        kind="summarize",
        relation=name,
        features=features,
        strategy="one_shot",
        payload={"scaler": scaler},
    )
    key = name.lower() + (f"/{unquote(id_.partition('/')[2])}" if "/" in id_ else "")
    gate = Gate(silo.policy.min_customers, silo.policy.dominance_percent, memory.masks(key, snapshot))

    def judge(asked: Asked) -> Release:
        return gate.release(asked, snapshot.customers, asked.classes)

    verdicts = {"moments": "leaves", "summarize": "leaves"}
    try:
        moments(snapshot, msgspec.structs.replace(task, payload={}), silo.policy, judge)
    except RefusalError as refusal:
        verdicts["moments"] = f"{refusal.code}: {refusal.message}"
    if label is not None:
        verdicts["fit"] = "leaves"
        try:
            fit(snapshot, _fitting(task, label), silo.policy, judge)
        except RefusalError as refusal:
            verdicts["fit"] = f"{refusal.code}: {refusal.message}"
    mapping: list[int] = []
    try:
        asked, release = local_cells(snapshot, task, clusters, silo.policy.max_clusters, judge)
        kept = [int(i) for i in np.flatnonzero(release.tally.customers > 0)]
        mapping = [kept.index(j) if j in kept else -1 for j in release.mapping]
    except RefusalError as refusal:
        asked = clustered(snapshot, task, clusters)
        mapping = [-1] * asked.cells
        verdicts["summarize"] = f"{refusal.code}: {refusal.message}"
    raw = asked.tally(range(asked.cells))
    cells = tuple(
        Cell(i, int(raw.customers[i]), int(raw.rows[i]), float(raw.share[i]) * 100, mapping[i])
        for i in range(asked.cells)
    )
    return Preview(id_, name, snapshot.meta.rows, snapshot.meta.customers, verdicts, cells)


def _fitting(task: Task, label: str) -> Task:
    """A task for coefficients; with a small penalty, so that they are finite."""
    options = {"label": label, "reg_param": 1e-6}
    return msgspec.structs.replace(task, kind="fit", model_type=LogisticRegression.model_type, options=options)
