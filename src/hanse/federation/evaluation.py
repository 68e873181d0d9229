"""How good a global model is at each silo, from sums that passed its gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hanse.errors import ShapeError
from hanse.estimator import Family, Model
from hanse.federation.checks import checked, counted, in_range, part_of, spread_of
from hanse.federation.coordinator import Coordinator
from hanse.messages import Reply
from hanse.metrics.catalog import Metrics
from hanse.metrics.classification import Histogram, score_edges
from hanse.metrics.clustering import ClusteringSums, metrics_of, sums_of
from hanse.metrics.distribution import DistributionMetrics
from hanse.models.clusters import is_clustering
from hanse.statistics import FloatArray, Statistics

__all__ = ["evaluated"]


def evaluated(coordinator: Coordinator, artifact: Mapping[str, Any], model: Model) -> dict[str, Metrics | None]:
    """A model's measures at each silo, by two exchanges.

    Args:
        coordinator: of this evaluation.
        artifact: the model, as it may travel.
        model: the same, read.

    Returns:
        by silo its measures; None where it released nothing.

    Raises:
        FederationError: no silo answered.
    """
    try:
        measures = _EVALUATED[model.family](coordinator, artifact, model)
    finally:
        coordinator.end()
    return {silo: measures.get(silo) for silo in coordinator.plan.silos}


def _clustering(coordinator: Coordinator, artifact: Mapping[str, Any], model: Model) -> dict[str, Metrics]:
    """Per-cluster sums, then silhouettes and distances about them.

    Rows of a cluster that a silo may not show are counted in the nearest one there.
    """
    assert is_clustering(model)  # by its family
    origins = np.array([c.centroid for c in model.clusters])
    first = coordinator.exchange("evaluate", payload={"artifact": artifact, "phase": 1})
    sums: dict[str, ClusteringSums] = {}
    for silo, reply in first.items():
        try:
            sums[silo] = _sums(silo, reply, origins)
        except ShapeError as error:
            coordinator.lose(silo, str(error))
    measures: dict[str, Metrics] = {}
    payloads = {
        silo: {
            "payload": {
                "artifact": artifact,
                "phase": 2,
                "sums": {"count": s.count.tolist(), "sum": s.sums.tolist(), "square": s.squares.tolist()},
            }
        }
        for silo, s in sums.items()
    }
    if payloads:
        second = coordinator.exchange("evaluate", only=list(payloads), each=payloads)
        for silo, reply in second.items():
            try:
                measures[silo] = metrics_of(sums[silo], _total(silo, reply, sums[silo]))
            except ShapeError as error:
                coordinator.lose(silo, str(error))
    return measures


def _sums(silo: str, reply: Reply, origins: Any) -> ClusteringSums:
    k, d = origins.shape
    arrays = {
        "count": counted(silo, "count", reply.statistics.get("count"), (k,)),
        "sum": checked(silo, "sum", reply.statistics.get("sum"), (k, d)),
        "square": checked(silo, "square", reply.statistics.get("square"), (k,)),
    }
    if not arrays["count"].sum():
        raise ShapeError(f"silo {silo}: statistic count = {arrays['count'].tolist()}: need some rows")
    spread_of(silo, "square", arrays["count"], (arrays["sum"] ** 2).sum(axis=1), arrays["square"])
    return sums_of(origins, Statistics(arrays))


def _total(silo: str, reply: Reply, sums: ClusteringSums) -> Statistics:
    """Phase 2, compared with what phase 1 leaves possible."""
    held = sums.count > 0
    rows = float(sums.count.sum())
    silhouette = checked(silo, "silhouette", reply.statistics.get("silhouette"), ())
    inertia = checked(silo, "inertia", reply.statistics.get("inertia"), ())
    distance = checked(silo, "distance", reply.statistics.get("distance"), (int(held.sum()),))
    in_range(silo, "silhouette", silhouette, abs(silhouette) > rows * (1 + 1e-9), f"{-rows:g} to {rows:g}, its rows")
    within = float((sums.count * sums.spreads).sum())
    off = abs(inertia - within) > 1e-6 * float(sums.squares.sum()) + 1e-12
    in_range(silo, "inertia", inertia, off, f"{within:.17g}, as its sums of phase 1 tell")
    in_range(silo, "distance", distance, distance < 0, "0 or more")
    return Statistics({"silhouette": silhouette, "inertia": inertia, "distance": distance})


def _classification(coordinator: Coordinator, artifact: Mapping[str, Any], model: Model) -> dict[str, Metrics]:
    """Moments of the scores, which say where the bins are to be, and then a histogram of the scores by label."""
    moments: dict[str, FloatArray] = {}
    for silo, reply in coordinator.exchange("evaluate", payload={"artifact": artifact, "phase": 1}).items():
        try:
            count = counted(silo, "count", reply.statistics.get("count"), (2,), least=1)
            total, square = (checked(silo, name, reply.statistics.get(name), (2,)) for name in ("sum", "square"))
            spread_of(silo, "square", count, total**2, square)
            moments[silo] = np.stack([count, total, square])
        except ShapeError as error:
            coordinator.lose(silo, str(error))
    measures: dict[str, Metrics] = {}
    if not moments:
        return measures
    edges = score_edges(*np.sum([own.sum(axis=1) for own in moments.values()], axis=0).tolist())
    payload = {"artifact": artifact, "phase": 2, "edges": edges}
    for silo, reply in coordinator.exchange("evaluate", only=list(moments), payload=payload).items():
        try:
            measures[silo] = _histogram(silo, reply, edges, moments[silo]).metrics()
        except ShapeError as error:
            coordinator.lose(silo, str(error))
    return measures


def _distribution(coordinator: Coordinator, artifact: Mapping[str, Any], model: Model) -> dict[str, Metrics]:
    """Moments of the scores."""
    measures: dict[str, Metrics] = {}
    for silo, reply in coordinator.exchange("evaluate", payload={"artifact": artifact}).items():
        try:
            count = float(counted(silo, "count", reply.statistics.get("count"), (), least=1))
            mean, m2 = (checked(silo, name, reply.statistics.get(name), ()) for name in ("mean", "m2"))
            in_range(silo, "m2", m2, m2 < 0, "0 or more")
            measures[silo] = DistributionMetrics(float(mean), math.sqrt(float(m2) / count), int(count))
        except ShapeError as error:
            coordinator.lose(silo, str(error))
    return measures


def _histogram(silo: str, reply: Reply, edges: Sequence[float], moments: FloatArray) -> Histogram:
    """Phase 2, compared with what phase 1 said of the same rows."""
    bins = len(edges) + 1
    table = counted(silo, "count", reply.statistics.get("count"), (2, bins))
    for label in (0, 1):
        part_of(silo, table[label], float(moments[0, label]), whole=True)
    mean = moments[1] / moments[0]
    deviation = np.sqrt(np.maximum(moments[2] / moments[0] - mean**2, 0.0))
    return Histogram(table, edges, mean, deviation, _mapping(silo, reply, 2 * bins))


def _mapping(silo: str, reply: Reply, cells: int) -> tuple[int, ...]:
    """How the gate joined cells."""
    told = next((reason.cells for reason in reply.reasons if reason.code == "merged"), tuple(range(cells)))
    if len(told) != cells or not all(0 <= cell < cells for cell in told):
        raise ShapeError(f"silo {silo}: its reasons join {len(told)} cells, need {cells}")
    return told


_EVALUATED: Mapping[Family, Callable[[Coordinator, Mapping[str, Any], Model], dict[str, Metrics]]] = {
    "clustering": _clustering,
    "classification": _classification,
    "distribution": _distribution,
}
