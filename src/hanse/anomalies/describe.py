"""What a clustering's clusters are like: size, share, profile, whether they are anomalous and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse import expressions as e
from hanse.anomalies.profile import coordinates
from hanse.anomalies.score import ClusterScoring
from hanse.anomalies.words import listed, percent
from hanse.estimator import Aggregate, Observation
from hanse.statistics import FloatArray, Statistics

__all__ = ["ClusterDescription", "Found", "cluster_observation", "described", "found_of"]


@dataclass(frozen=True)
class Found:
    """The rows of a SELECT by cluster.

    Args:
        count: (k,) rows.
        mean: (k, d) of each feature; the trained centroid for a cluster without rows.
        spread: (k, d) standard deviations about the mean.
    """

    count: FloatArray
    mean: FloatArray
    spread: FloatArray


@dataclass(frozen=True)
class ClusterDescription:
    """One cluster.

    Args:
        label: its number.
        size: rows; None where the model travelled without them.
        share: of the weight, or of the rows described.
        is_anomaly: whether it holds too little of the training's weight to be ordinary.
        reason: why.
        centroid: (d,) in the model's units.
        spread: (d,) likewise; None where it is unknown.
        description: a sentence.
    """

    label: int
    size: int | None
    share: float
    is_anomaly: bool
    reason: str
    centroid: FloatArray
    spread: FloatArray | None
    description: str


def cluster_observation(scoring: ClusterScoring, features: Sequence[e.Expression], label: str) -> Observation:
    """Per cluster ``count`` (), ``sum`` (d,) and ``square`` (d,) about the trained centroid."""
    layers, at = coordinates(features, scoring.model.distance_measure)
    away: dict[str, e.Expression] = {}
    for j, value in enumerate(at):
        centre = scoring.centroids[:, j].tolist()
        branches = [e.when(e.equal(e.column(label), e.integer(i)), e.number(c)) for i, c in enumerate(centre[:-1])]
        away[f"__hanse_away{j}"] = e.subtract(value, e.case(branches, e.number(centre[-1])))
    columns = [e.column(name) for name in away]
    size = (len(columns),)
    aggregates = {
        "count": Aggregate((e.number(1.0),), (), "count"),
        "sum": Aggregate(tuple(columns), size),
        "square": Aggregate(tuple(e.square(e.again(c)) for c in columns), size),
    }
    return Observation(aggregates, (*layers, away), e.column(label), len(scoring.centroids))


def found_of(scoring: ClusterScoring, total: Statistics) -> Found:
    """The rows by cluster, from the observation's total."""
    count = total["count"]
    safe = np.maximum(count, 1.0)[:, None]
    shift = total["sum"] / safe
    spread = np.sqrt(np.maximum(total["square"] / safe - shift**2, 0.0))
    return Found(count, scoring.centroids + shift, spread)


def described(scoring: ClusterScoring, found: Found | None) -> list[ClusterDescription]:
    """Each cluster, by label; of the training's rows where there are no others."""
    shares = scoring.profile.share
    sizes: list[int | None] = [c.count if c.weight > 0 else None for c in scoring.model.clusters]
    means, spreads = scoring.centroids, scoring.profile.spread
    if found is not None:
        sizes = [int(n) for n in found.count]
        means, spreads = found.mean, found.spread
    told = shares if found is None else found.count / max(found.count.sum(), 1.0)
    ordinary = list(scoring.ordinary)
    ordinary_centre = np.average(scoring.centroids[ordinary], axis=0, weights=shares[ordinary])
    centre = np.average(scoring.centroids, axis=0, weights=shares)
    lines = []
    for k, size in enumerate(sizes):
        is_anomaly = k not in scoring.ordinary
        away = float(np.sqrt((((scoring.centroids[k] - centre) / scoring.unit) ** 2).sum()))
        profile = listed(scoring.model.features, ((means[k] - ordinary_centre) / scoring.unit).tolist())
        lines.append(
            ClusterDescription(
                k,
                size,
                float(told[k]),
                is_anomaly,
                _reason(float(shares[k]), scoring.ordinary_share, is_anomaly, away),
                means[k],
                None if spreads is None else spreads[k],
                _sentence(is_anomaly, size, float(told[k]), profile),
            )
        )
    return lines


def _reason(share: float, bound: float, is_anomaly: bool, away: float) -> str:
    held = f"holds {percent(share)} of the training weight"
    if not is_anomaly:
        return f"{held}, {percent(bound)} or more"
    return f"{held}, less than {percent(bound)}, and lies {away:,.1f} sd from the weighted centre"


def _sentence(is_anomaly: bool, size: int | None, share: float, profile: str) -> str:
    rows = "" if size is None else f"{size:,} row{'s'[: size != 1]}, "
    head = f"{'anomaly' if is_anomaly else 'ordinary'} cluster ({rows}{percent(share)})"
    if size == 0:
        return f"{head}: no rows here"
    if is_anomaly:
        return f"{head}: {profile} ordinary customers" if profile else f"{head}: near the ordinary centre"
    return f"{head}: {profile} the ordinary centre" if profile else f"{head}: near the ordinary centre"
