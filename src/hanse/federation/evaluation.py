"""How good a global model is at each silo, from sums that passed its gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hanse.errors import ShapeError
from hanse.federation.checks import checked, counted, in_range, spread_of
from hanse.federation.coordinator import Coordinator
from hanse.messages import Reply
from hanse.metrics.clustering import ClusteringMetrics, ClusteringSums, metrics_of, sums_of
from hanse.models.clusters import Cluster
from hanse.statistics import Statistics

__all__ = ["evaluated"]


def evaluated(
    coordinator: Coordinator, artifact: Mapping[str, Any], clusters: Sequence[Cluster]
) -> dict[str, ClusteringMetrics | None]:
    """Two exchanges: per-cluster sums, then silhouettes and distances about them.

    Rows of a cluster that a silo may not show are counted in the nearest one there.

    Args:
        coordinator: of this evaluation.
        artifact: the model, as it may travel.
        clusters: its clusters.

    Returns:
        by silo its measures; None where it released nothing.

    Raises:
        FederationError: no silo answered.
    """
    silos = list(coordinator.plan.silos)
    origins = np.array([c.centroid for c in clusters])
    first = coordinator.exchange("evaluate", payload={"artifact": artifact, "phase": 1})
    sums: dict[str, ClusteringSums] = {}
    for silo, reply in first.items():
        try:
            sums[silo] = _sums(silo, reply, origins)
        except ShapeError as error:
            coordinator.lose(silo, str(error))
    measures: dict[str, ClusteringMetrics | None] = dict.fromkeys(silos)
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
    coordinator.end()
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
