"""Table functions about clusters: what they are like, and which clusters of two models are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hanse import expressions as e
from hanse.anomalies.describe import ClusterDescription, cluster_observation, described, found_of
from hanse.anomalies.match import centroid_distances, matched_pairs, pair_observation
from hanse.anomalies.score import ORDINARY_SHARE, ClusterScoring
from hanse.errors import BindError
from hanse.metrics.agreement import adjusted_mutual_information, adjusted_rand_index
from hanse.options import Range, build, option
from hanse.session.laying import check_label, clustering_for, doubles_beside, given_options, labelled, observed
from hanse.session.learning import LoadedModel
from hanse.sql.binder import Expansion, Prepared, number_rows
from hanse.sql.nodes import TableFunction, position_of
from hanse.statistics import FloatArray
from hanse.transforms.units import Unit, units_of

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["ClusterView", "describe", "match"]


@dataclass(frozen=True)
class ClusterView:
    """The options of ``describe_clusters`` and ``match_clusters``."""

    ordinary_share: float = option(
        ORDINARY_SHARE,
        Range(float, 0, 1, open_low=True),
        "share of the training's weight that a cluster must hold to be ordinary",
    )


def describe(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    """A row for each cluster: of the training's rows, or of a query's."""
    place = position_of(function)
    options: ClusterView = build(ClusterView, given_options(function), function.name)
    scoring = clustering_for(loaded, function, options.ordinary_share)
    found = None
    warnings: tuple[str, ...] = ()
    if query is not None:
        source = e.derived(query.tree.copy())
        relation, features, warnings = labelled(session, loaded, query, place, source, "__hanse_f")
        observation = cluster_observation(scoring, features, "__hanse_f_label")
        found = found_of(scoring, observed(session, loaded, query, place, relation, observation))
        warnings = (*query.warnings, *warnings)
    label = next(iter(loaded.model.outputs))
    check_label(loaded, label, ("cluster_size", "share", "is_anomaly_cluster", "reason", "description"), function)
    kinds = _kinds(label, loaded.artifact.features)
    euclidean = scoring.model.distance_measure == "euclidean"
    units = units_of(loaded.chain) if euclidean else [Unit()] * len(scoring.unit)
    rows = [_row(line, units) for line in described(scoring, found)]
    return Expansion(number_rows(kinds, rows, session.engine.dialect), kinds, warnings)


def _kinds(label: str, features: Sequence[str]) -> dict[str, str]:
    """The columns of ``describe_clusters``; a feature that is called like another column gets a name of its own."""
    kinds = {
        label: "INTEGER",
        "cluster_size": "BIGINT",
        "share": "DOUBLE",
        "is_anomaly_cluster": "BOOLEAN",
        "reason": "VARCHAR",
    }
    named = [(n, "_centroid") for n in features] + [(f"{n}_spread", "_sd") for n in features]
    return {**kinds, **doubles_beside((*kinds, "description"), named), "description": "VARCHAR"}


def _row(line: ClusterDescription, units: Sequence[Unit]) -> list[float | int | str | bool | None]:
    """A row of ``describe_clusters``, in the units of the SELECT."""
    nothing: list[float | None] = [None] * len(units)
    centroid, spread = nothing, nothing
    if line.size != 0:
        centroid = [float(x * u.scale + u.shift) for x, u in zip(line.centroid, units, strict=True)]
        if line.spread is not None:
            spread = [float(x * abs(u.scale)) for x, u in zip(line.spread, units, strict=True)]
    return [line.label, line.size, line.share, line.is_anomaly, line.reason, *centroid, *spread, line.description]


def match(
    session: Session, loaded: LoadedModel, other: LoadedModel, function: TableFunction, query: Prepared | None
) -> Expansion:
    """A row for each pair of clusters, of the local and the global model, that share rows of a query."""
    assert query is not None  # the grammar asks for it
    place = position_of(function)
    options: ClusterView = build(ClusterView, given_options(function), function.name)
    ours, theirs = (clustering_for(m, function, options.ordinary_share) for m in (loaded, other))
    _check_same_features(loaded, other, function)
    source = e.derived(query.tree.copy())
    relation, _, notes = labelled(session, loaded, query, place, source, "__hanse_l")
    relation, features, warnings = labelled(session, other, query, place, relation, "__hanse_g")
    clusters = len(ours.centroids), len(theirs.centroids)
    origin = np.average(theirs.centroids, axis=0, weights=theirs.profile.share)
    observation = pair_observation(features, origin, ("__hanse_l_label", "__hanse_g_label"), clusters)
    total = observed(session, loaded, query, place, relation, observation)
    rows = _pair_rows(ours, theirs, total["count"].reshape(clusters), centroid_distances(total, *clusters))
    tree = number_rows(_PAIR_KINDS, rows, session.engine.dialect)
    return Expansion(tree, _PAIR_KINDS, (*query.warnings, *warnings, *notes))


_PAIR_KINDS = {
    **dict.fromkeys(("local_prediction", "global_prediction"), "INTEGER"),
    **dict.fromkeys(("rows", "local_rows", "global_rows"), "BIGINT"),
    **dict.fromkeys(("jaccard", "centroid_distance"), "DOUBLE"),
    **dict.fromkeys(("matched", "local_is_anomaly", "global_is_anomaly"), "BOOLEAN"),
    "finding": "VARCHAR",
    **dict.fromkeys(("adjusted_rand_index", "adjusted_mutual_information"), "DOUBLE"),
}


def _pair_rows(
    ours: ClusterScoring, theirs: ClusterScoring, table: FloatArray, apart: FloatArray
) -> list[list[float | int | str | bool | None]]:
    """The rows of ``match_clusters``, from the contingency table (k_local, k_global); none where it is empty."""
    if not table.any():
        return []
    agreement = adjusted_rand_index(table), adjusted_mutual_information(table)
    return [
        [
            pair.local,
            pair.other,
            pair.rows,
            pair.local_rows,
            pair.other_rows,
            pair.jaccard,
            float(apart[pair.local, pair.other]),
            pair.matched,
            pair.local not in ours.ordinary,
            pair.other not in theirs.ordinary,
            pair.finding,
            *agreement,
        ]
        for pair in matched_pairs(table, ours.ordinary, theirs.ordinary)
    ]


def _check_same_features(loaded: LoadedModel, other: LoadedModel, function: TableFunction) -> None:
    mine, theirs = ({name.lower() for name in m.chain.inputs} for m in (loaded, other))
    only = [
        f"{m.info.name} reads {', '.join(sorted(names))}"
        for m, names in ((loaded, mine - theirs), (other, theirs - mine))
        if names
    ]
    if only:
        what = f"models {loaded.info.name} and {other.info.name} differ in their features: {'; '.join(only)}"
        raise BindError(what, "compare models of the same features", position_of(function.args["other_model"]))
