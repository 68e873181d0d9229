"""Local against global clusters at each silo, from cells that passed its gate."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.errors import ShapeError
from hanse.federation.checks import clusters_of, counted
from hanse.federation.coordinator import Coordinator
from hanse.federation.journal import Journal
from hanse.messages import Reply
from hanse.models.clusters import Cluster
from hanse.models.kmeans_model import KMeansModel
from hanse.statistics import FloatArray

__all__ = ["Contingency", "LocalClusters", "compared", "local_clusters"]


@dataclass(frozen=True)
class LocalClusters:
    """A silo's own clusters, as it released them in training.

    Args:
        centroids: (k, d) in the units of the training, the largest cluster first.
        count: (k,) rows; None under strategy ``article``, which releases means alone.
        fingerprint: of the rows that they are of.
    """

    centroids: FloatArray
    count: FloatArray | None
    fingerprint: str


@dataclass(frozen=True)
class Contingency:
    """Rows of a silo by its own and the global cluster.

    Args:
        rows: (k_local, k_global).
        joined: (k_local, k_global) where the silo's gate counted the cell's rows in another cell.
    """

    rows: FloatArray
    joined: np.ndarray[Any, np.dtype[np.bool_]]


def local_clusters(journal: Journal, model: str, width: int) -> dict[str, LocalClusters]:
    """What the silos released of their own clusters in the model's last training; nobody is asked.

    Args:
        journal: the coordinator's record.
        model: the model's name.
        width: how many features it has.

    Returns:
        by silo, without those whose clusters cannot be right, which training left out; none for a strategy that
        exchanges no local clusters.
    """
    run = journal.last_run(model)
    found: dict[str, LocalClusters] = {}
    for item in journal.received(model) if run is not None else ():
        ours = run is not None and item.run_id == run.run_id
        if ours and item.kind == "summarize" and item.reply is not None and item.reply.status == "ok":
            with contextlib.suppress(ShapeError):
                found[item.silo] = _released(item.silo, item.reply, width)
    return found


def _released(silo: str, reply: Reply, width: int) -> LocalClusters:
    told = reply.statistics
    if "mean" in told:
        return LocalClusters(clusters_of(silo, "mean", told["mean"], width), None, reply.fingerprint)
    sums = clusters_of(silo, "sum", told.get("sum"), width)
    count = counted(silo, "count", told.get("count"), (len(sums),), least=1)
    order = np.argsort(-count, kind="stable")
    return LocalClusters((sums / count[:, None])[order], count[order], reply.fingerprint)


def compared(
    coordinator: Coordinator, artifact: Mapping[str, Any], clusters: int, own: Mapping[str, LocalClusters]
) -> dict[str, Contingency]:
    """One exchange: each silo counts its rows by the nearest of the clusters it released, and by the global one.

    Args:
        coordinator: of this comparison; its plan's silos are asked that have clusters of their own.
        artifact: the global model, as it may travel.
        clusters: how many it has.
        own: by silo its own clusters.

    Returns:
        by silo what its gate let through; silos that released nothing are in ``coordinator.lost``.

    Raises:
        FederationError: no silo answered.
    """
    payloads = {
        silo: {"payload": {"artifact": artifact, "local": _as_model(artifact, own[silo])}}
        for silo in coordinator.plan.silos
        if silo in own
    }
    found: dict[str, Contingency] = {}
    try:
        if payloads:
            for silo, reply in coordinator.exchange("compare", only=list(payloads), each=payloads).items():
                try:
                    found[silo] = _contingency(silo, reply, own[silo], clusters)
                except ShapeError as error:
                    coordinator.lose(silo, str(error))
    finally:
        coordinator.end()
    return found


def _as_model(artifact: Mapping[str, Any], own: LocalClusters) -> dict[str, Any]:
    """The silo's clusters as a model with the global one's transforms, which are the training's."""
    features = tuple(artifact["features"])
    nearest = KMeansModel(
        features=features,
        clusters=tuple(Cluster(centroid, 0, 0.0, 0.0) for centroid in own.centroids),
        origin=np.zeros(len(features)),
        distance_measure="euclidean",
        prediction_col="prediction",
    )
    return {**artifact, "model_type": "kmeans", "model": nearest.to_json(), "scoring": {}}


def _contingency(silo: str, reply: Reply, own: LocalClusters, clusters: int) -> Contingency:
    shape = (len(own.centroids), clusters)
    rows = counted(silo, "contingency", reply.statistics.get("contingency"), shape)
    if not rows.sum():
        raise ShapeError(f"silo {silo}: statistic contingency holds no rows: need some")
    if own.count is not None and reply.fingerprint == own.fingerprint and rows.sum() != own.count.sum():
        raise ShapeError(
            f"silo {silo}: statistic contingency adds up to {rows.sum():.17g} rows, and its clusters in training held "
            f"{own.count.sum():.17g}: need as many, for the data are the same"
        )
    cells = rows.size
    joined = np.zeros(cells, dtype=bool)
    for reason in reply.reasons:
        if reason.code == "merged" and len(reason.cells) == cells:
            joined |= np.array([target != number for number, target in enumerate(reason.cells)])
    return Contingency(rows, joined.reshape(shape))
