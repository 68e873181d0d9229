"""Table functions over models: what stands in a query in their place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hanse.errors import BindError, HanseError, ModelNotFoundError
from hanse.session.learning import LoadedModel
from hanse.sql.binder import Expand, Expansion, Planner, Prepared, number_rows, version_number
from hanse.sql.nodes import TableFunction, position_of
from hanse.types import Parameters

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["describe_rows", "expander", "shown"]


def expander(session: Session, parameters: Parameters) -> Expand:
    """What works table functions out in this session."""

    def expand(function: TableFunction, query: Prepared | None, planner: Planner) -> Expansion:
        loaded = _loaded(session, function, parameters)
        return _EXPAND[function.name](session, loaded, function, query)

    return expand


def _loaded(session: Session, function: TableFunction, parameters: Parameters) -> LoadedModel:
    number = version_number(function.args["version"], parameters)
    try:
        return LoadedModel.of(*session.registry.load(function.args["model"].name, number))
    except ModelNotFoundError as error:
        raise BindError(str(error), "", position_of(function.args["model"])) from error


def _predict(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    assert query is not None  # the grammar asks for it
    place = position_of(function)
    learner = session.learner
    sql, columns, warnings = learner.predict(loaded, query.sql, query.columns, place)

    def explain(error: HanseError) -> HanseError | None:
        return learner.explain_guard(error, loaded, query.sql, query.columns, place)

    return Expansion(session.engine.parse(sql), columns, (*query.warnings, *warnings), (explain, *query.explain))


def _evaluate(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    assert query is not None  # the grammar asks for it
    measures, warnings = session.learner.evaluate(loaded, query.sql, query.columns, position_of(function))
    kinds = {name: "BIGINT" if isinstance(value, int) else "DOUBLE" for name, value in measures.items()}
    return Expansion(
        number_rows(kinds, [list(measures.values())], session.engine.dialect),
        kinds,
        (*query.warnings, *warnings),
    )


def _centroids(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    clusters = loaded.model.clusters  # type: ignore[attr-defined]  # all model types so far are clusterings
    whole = sum(c.weight for c in clusters)
    label = getattr(loaded.model, "prediction_col", "prediction")
    kinds = {label: "INTEGER", "cluster_size": "BIGINT", "share": "DOUBLE", "inertia": "DOUBLE"}
    kinds |= dict.fromkeys(loaded.artifact.features, "DOUBLE")
    rows = [
        [number, c.count, c.weight / whole, c.inertia, *(float(x) for x in c.centroid)]
        for number, c in enumerate(clusters)
    ]
    return Expansion(number_rows(kinds, rows, session.engine.dialect), kinds)


def _federated_evaluate(
    session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None
) -> Expansion:
    from dataclasses import asdict, fields

    from hanse.metrics.clustering import ClusteringMetrics

    names = [field.name for field in fields(ClusteringMetrics)]
    whole = ("clusters", "smallest_cluster", "rows")
    kinds = {"silo": "VARCHAR", **{n: "BIGINT" if n in whole else "DOUBLE" for n in names}}
    rows = []
    notes = []
    found, lost = session.federation.evaluate(loaded)
    for silo, measures in found.items():
        rows.append([silo, *(asdict(measures).values() if measures else [None] * len(names))])
        if measures is None:
            why = lost.get(silo, "see SHOW EGRESS")
            notes.append(f"silo {silo} released no measures of model {loaded.info.name}: {why}")
    return Expansion(number_rows(kinds, rows, session.engine.dialect), kinds, tuple(notes))


_EXPAND = {
    "model_predict": _predict,
    "model_evaluate": _evaluate,
    "model_centroids": _centroids,
    "federated_evaluate": _federated_evaluate,
}


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
        ("rows", artifact.row_count),
        ("training", artifact.training),
    ]
    rows += [
        (f"cluster {number}", f"{c.count} rows, centroid {[round(float(x), 6) for x in c.centroid]}")
        for number, c in enumerate(getattr(loaded.model, "clusters", ()))
    ]
    rows += [
        ("source", artifact.source_sql),
        ("created", info.created),
        ("updated", info.updated),
        ("created_by", info.created_by),
        ("hanse_version", artifact.hanse_version),
    ]
    return [[name, str(shown(value))] for name, value in rows]
