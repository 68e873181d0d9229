"""The table function ``cluster_silhouettes``: how well each cluster is apart from the others, over a query's rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from hanse import expressions as e
from hanse.metrics.clustering import first_observation, second_observation, sums_of
from hanse.session.laying import check_label, clustering_of, labelled, observed
from hanse.session.rows import is_cosine
from hanse.sql.binder import Expansion, number_rows
from hanse.sql.nodes import position_of

if TYPE_CHECKING:
    from hanse.session.learning import LoadedModel
    from hanse.session.session import Session
    from hanse.sql.binder import Prepared
    from hanse.sql.nodes import TableFunction

__all__ = ["silhouettes"]

_LABEL = "__hanse_f_label"


def silhouettes(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    """A row for each cluster: how many rows it holds, and their mean silhouette; NULL where there is no other cluster.

    The closed form is that of ``model_evaluate``, of which the mean over all rows is the silhouette.
    """
    assert query is not None  # the grammar asks for it
    place = position_of(function)
    origins = np.array([c.centroid for c in clustering_of(loaded, function).clusters])
    source = e.derived(query.tree.copy())
    relation, features, warnings = labelled(session, loaded, query, place, source, "__hanse_f")
    if is_cosine(loaded.model):
        norm = e.root(e.total(e.square(e.again(f)) for f in features))
        features = [e.divide(e.again(f), e.again(norm)) for f in features]
    names = [f"__hanse_s{i}" for i in range(len(features))]
    relation = e.select_over(relation, dict(zip(names, features, strict=True)))
    total = observed(session, loaded, query, place, relation, first_observation(names, _LABEL, origins))
    sums = sums_of(origins, total)
    held = [i for i, n in enumerate(sums.count) if n > 0]
    means: list[float | None] = [None] * len(origins)
    if len(held) > 1:
        second = second_observation(names, _LABEL, sums)
        grouped = dataclasses.replace(
            second,
            aggregates={"silhouette": second.aggregates["silhouette"]},
            cell=e.column(_LABEL),
            cells=len(origins),
        )
        found = observed(session, loaded, query, place, relation, grouped)["silhouette"]
        for i in held:
            means[i] = float(found[i] / sums.count[i])
    label = getattr(loaded.model, "prediction_col", "prediction")
    check_label(loaded, label, ("cluster_size", "silhouette"), function)
    kinds = {label: "INTEGER", "cluster_size": "BIGINT", "silhouette": "DOUBLE"}
    rows = [[number, int(sums.count[number]), mean] for number, mean in enumerate(means)]
    return Expansion(number_rows(kinds, rows, session.engine.dialect), kinds, (*query.warnings, *warnings))
