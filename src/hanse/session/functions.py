"""Table functions over models: what stands in a query in their place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from hanse.anomalies.score import ORDINARY_SHARE
from hanse.errors import BindError, HanseError, ModelNotFoundError
from hanse.estimator import SUPERVISED
from hanse.expressions import raw
from hanse.metrics.catalog import measures_of
from hanse.session import anomalies, clusters
from hanse.session.evaluation import evaluate
from hanse.session.laying import check_label, clustering_of, doubles_beside
from hanse.session.learning import LoadedModel
from hanse.session.silhouettes import silhouettes
from hanse.sql.binder import Expansion, Prepared, number_rows, version_number
from hanse.sql.nodes import TableFunction, position_of
from hanse.types import Parameters

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["clustering_of", "describe_rows", "expand", "shown"]


def expand(session: Session, parameters: Parameters, function: TableFunction, query: Prepared | None) -> Expansion:
    """Work a table function out, given its query, prepared."""
    loaded = _loaded(session, function, parameters)
    if function.args.get("other_model") is not None:
        other = _loaded(session, function, parameters, "other_")
        return _EXPAND_PAIRS[function.name](session, loaded, other, function, query)
    return _EXPAND[function.name](session, loaded, function, query)


def _loaded(session: Session, function: TableFunction, parameters: Parameters, which: str = "") -> LoadedModel:
    name = function.args[f"{which}model"]
    number = version_number(function.args[f"{which}version"], parameters)
    try:
        return LoadedModel.of(*session.registry.load(name.name, number))
    except ModelNotFoundError as error:
        raise BindError(str(error), "", position_of(name)) from error


def _predict(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    assert query is not None  # the grammar asks for it
    place = position_of(function)
    learner = session.learner
    sql, columns, warnings = learner.predict(loaded, query.sql, query.columns, place)

    def explain(error: HanseError) -> HanseError | None:
        return learner.explain_guard(error, loaded, query.sql, query.columns, place)

    return Expansion(raw(sql), columns, (*query.warnings, *warnings), (explain, *query.explain))


def _evaluate(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    assert query is not None  # the grammar asks for it
    place = position_of(function)
    measures, warnings = evaluate(session.learner, loaded, query.sql, query.columns, place)
    kinds = _kinds(loaded)
    return Expansion(
        number_rows(kinds, [list(measures.values())], session.engine.dialect),
        kinds,
        (*query.warnings, *warnings),
    )


def _centroids(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    held = clustering_of(loaded, function).clusters
    whole = sum(c.weight for c in held)
    shares: Sequence[float | None] = [c.weight / whole if whole else None for c in held]
    if not whole and loaded.basis.profile is not None:
        shares = loaded.basis.profile.share.tolist()
    label = next(iter(loaded.model.outputs))
    kinds = {"cluster_size": "BIGINT", "share": "DOUBLE", "inertia": "DOUBLE"}
    check_label(loaded, label, kinds, function)
    kinds = {label: "INTEGER", **kinds}
    kinds |= doubles_beside(kinds, [(n, "_centroid") for n in loaded.artifact.features])
    rows = [
        [number, c.count or None, share, c.inertia if c.count else None, *(float(x) for x in c.centroid)]
        for number, (c, share) in enumerate(zip(held, shares, strict=True))
    ]
    return Expansion(number_rows(kinds, rows, session.engine.dialect), kinds)


def _federated_evaluate(
    session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None
) -> Expansion:
    kinds = {"silo": "VARCHAR", **_kinds(loaded)}
    rows = []
    notes = []
    found, lost = session.federation.evaluate(loaded)
    for silo, measures in found.items():
        rows.append([silo, *(asdict(measures).values() if measures else [None] * (len(kinds) - 1))])
        if measures is None:
            why = lost.get(silo, "see SHOW EGRESS")
            notes.append(f"silo {silo} released no measures of model {loaded.info.name}: {why}")
        elif loaded.model.family in SUPERVISED and None in (told := asdict(measures)).values():
            hidden = ", ".join(name for name, value in told.items() if value is None)
            notes.append(f"silo {silo} released no {hidden}: its gate joined cells of too few customers")
    return Expansion(number_rows(kinds, rows, session.engine.dialect), kinds, tuple(notes))


def _kinds(loaded: LoadedModel) -> dict[str, str]:
    """The columns of an evaluation, with their types."""
    return {name: "BIGINT" if kind is int else "DOUBLE" for name, kind in measures_of(loaded.model.family).items()}


_COMPARED = {
    "silo": "VARCHAR",
    **dict.fromkeys(("local_prediction", "global_prediction"), "INTEGER"),
    **dict.fromkeys(("rows", "local_rows"), "BIGINT"),
    **dict.fromkeys(("local_is_anomaly", "global_is_anomaly"), "BOOLEAN"),
}


def _federated_compare(
    session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None
) -> Expansion:
    clusters_ = clustering_of(loaded, function).clusters
    weights = [c.weight for c in clusters_]
    rare = [weight < ORDINARY_SHARE * sum(weights) for weight in weights]
    own, found, lost = session.federation.compare(loaded)
    rows: list[list[float | int | str | bool | None]] = []
    for silo, table in found.items():
        held = own[silo].count
        counts = table.rows.sum(axis=1) if held is None else held
        for i, j in np.ndindex(table.rows.shape):
            if table.rows[i, j] or table.joined[i, j]:
                cell = None if table.joined[i, j] else int(table.rows[i, j])
                few = bool(counts[i] < ORDINARY_SHARE * counts.sum())
                rows.append([silo, i, j, cell, int(counts[i]), few, rare[j]])
    notes = [f"silo {silo} released no comparison of model {loaded.info.name}: {why}" for silo, why in lost.items()]
    if not own:
        notes = [f"no silo released clusters of its own when model {loaded.info.name} was trained: nothing to compare"]
    return Expansion(number_rows(_COMPARED, rows, session.engine.dialect), _COMPARED, tuple(notes))


_EXPAND = {
    "model_predict": _predict,
    "model_evaluate": _evaluate,
    "model_centroids": _centroids,
    "federated_evaluate": _federated_evaluate,
    "federated_compare": _federated_compare,
    "detect_anomalies": anomalies.detect,
    "explain_anomalies": anomalies.explain,
    "describe_clusters": clusters.describe,
    "cluster_silhouettes": silhouettes,
}

_EXPAND_PAIRS = {"match_clusters": clusters.match}


def shown(value: Any) -> Any:
    """A value of an artifact as a person reads it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else value


def describe_rows(loaded: LoadedModel) -> list[list[str]]:
    """``DESCRIBE MODEL``: property and value."""
    info, artifact = loaded.info, loaded.artifact
    rows: list[tuple[str, Any]] = [
        ("name", info.name),
        ("version", info.version),
        ("model_id", info.model_id),
        ("type", artifact.model_type),
        ("options", artifact.options),
        (
            "transform",
            [f"{t['function']}({', '.join(t['inputs'])}) {t['alias']}" for t in artifact.transforms],
        ),
        ("features", list(artifact.features)),
        ("fields", list(artifact.fields)),
        ("rows", artifact.row_count or "not told"),
        ("training", artifact.training),
    ]
    rows += loaded.model.described()
    rows += [
        ("source", artifact.source_sql),
        ("created", info.created),
        ("updated", info.updated),
        ("created_by", info.created_by),
        ("hanse_version", artifact.hanse_version),
    ]
    return [[name, str(shown(value))] for name, value in rows]
