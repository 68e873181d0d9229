"""Which clusters of two models are the same: the best one-to-one matching, and what became of anomalies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hanse import expressions as e
from hanse.estimator import Aggregate, Observation
from hanse.statistics import FloatArray, Statistics

__all__ = ["Finding", "Pair", "centroid_distances", "matched_pairs", "pair_observation"]

Finding = Literal["matched", "split", "merged", "missed", "global_only", ""]


@dataclass(frozen=True)
class Pair:
    """A cluster of the local model and one of the global model that share rows.

    Args:
        local: its label.
        other: the global one's.
        rows: that both hold.
        local_rows: of the local cluster.
        other_rows: of the global one.
        matched: whether the two are matched one to one.
        finding: what it says about anomalies.
    """

    local: int
    other: int
    rows: int
    local_rows: int
    other_rows: int
    matched: bool
    finding: Finding

    @property
    def jaccard(self) -> float:
        """Rows of both by rows of either."""
        return self.rows / (self.local_rows + self.other_rows - self.rows)


def pair_observation(
    features: Sequence[e.Expression], origin: FloatArray, labels: tuple[str, str], clusters: tuple[int, int]
) -> Observation:
    """Per pair of clusters ``count`` (), ``sum`` (d,) and ``square`` (d,) about ``origin``, in feature units.

    Args:
        features: of the rows, the same for both models.
        origin: (d,) near the rows, so that sums lose no digits.
        labels: the columns of the local and the global label.
        clusters: how many there are of each.
    """
    away = {
        f"__hanse_away{j}": e.subtract(e.again(f), e.number(o))
        for j, (f, o) in enumerate(zip(features, origin, strict=True))
    }
    columns = [e.column(name) for name in away]
    cell = e.add(e.multiply(e.column(labels[0]), e.integer(clusters[1])), e.column(labels[1]))
    size = (len(columns),)
    aggregates = {
        "count": Aggregate((e.number(1.0),), (), "count"),
        "sum": Aggregate(tuple(columns), size),
        "square": Aggregate(tuple(e.square(e.again(c)) for c in columns), size),
    }
    return Observation(aggregates, (away,), cell, clusters[0] * clusters[1])


def centroid_distances(total: Statistics, local: int, other: int) -> FloatArray:
    """(k_local, k_global) from centroid to centroid of the rows, in standard deviations of all of the rows.

    A feature that is the same in every row does not count.
    """
    count = total["count"].reshape(local, other)
    sums = total["sum"].reshape(local, other, -1)
    rows = max(float(count.sum()), 1.0)
    mean = sums.sum(axis=(0, 1)) / rows
    variance = total["square"].sum(axis=0) / rows - mean**2
    scale = np.where(variance > 1e-12 * mean**2, 1.0 / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
    ours = sums.sum(axis=1) / np.maximum(count.sum(axis=1), 1.0)[:, None]
    theirs = sums.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)[:, None]
    return np.asarray(np.sqrt((((ours[:, None] - theirs[None]) * scale) ** 2).sum(axis=2)))


def matched_pairs(table: FloatArray, local_ordinary: Collection[int], other_ordinary: Collection[int]) -> list[Pair]:
    """Every pair of clusters that share rows.

    For a local anomaly cluster: ``missed`` where the global model's anomaly clusters hold less than half of its rows;
    else ``split`` where no single one of them holds half; else ``matched`` where the one that does is its partner in
    the matching, and ``merged`` where that one's partner is another local cluster. ``global_only`` are the rows of
    ordinary local clusters in a global anomaly cluster of which local anomaly clusters hold less than half.

    Args:
        table: (k_local, k_global) rows by both labels.
        local_ordinary: the local model's ordinary labels.
        other_ordinary: the global model's.

    Returns:
        by local label, then by global label.
    """
    from scipy.optimize import linear_sum_assignment

    partners = {(int(i), int(j)) for i, j in zip(*linear_sum_assignment(table, maximize=True), strict=True)}
    partners = {(i, j) for i, j in partners if table[i, j] > 0}
    local_rows, other_rows = table.sum(axis=1), table.sum(axis=0)
    own = [j for j in range(table.shape[1]) if j not in other_ordinary]
    theirs = [i for i in range(table.shape[0]) if i not in local_ordinary]
    findings: dict[tuple[int, int], Finding] = {}
    for i in theirs:
        _judge(findings, i, table[i], own, partners)
    for j in own:
        known = float(table[theirs, j].sum()) if theirs else 0.0
        if known * 2 < other_rows[j]:
            findings |= {(i, j): "global_only" for i in range(len(table)) if i not in theirs and table[i, j] > 0}
    return [
        Pair(
            i,
            j,
            int(table[i, j]),
            int(local_rows[i]),
            int(other_rows[j]),
            (i, j) in partners,
            findings.get((i, j), ""),
        )
        for i, j in zip(*(axis.tolist() for axis in np.nonzero(table)), strict=True)
    ]


def _judge(
    findings: dict[tuple[int, int], Finding],
    local: int,
    rows: FloatArray,
    anomalous: list[int],
    partners: Collection[tuple[int, int]],
) -> None:
    """What became of one local anomaly cluster."""
    whole = float(rows.sum())
    if whole == 0:
        return
    held = {j: float(rows[j]) for j in anomalous if rows[j] > 0}
    if sum(held.values()) * 2 < whole:
        findings.update({(local, j): "missed" for j in range(len(rows)) if rows[j] > 0 and j not in held})
        return
    most = max(held, key=lambda j: (held[j], -j))
    if held[most] * 2 < whole:
        findings.update({(local, j): "split" for j in held})
    else:
        findings[local, most] = "matched" if (local, most) in partners else "merged"
