"""model_evaluate: a model's measures over a query's rows, one function for each family of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hanse import expressions as e
from hanse.errors import BindError, DataError, HanseError, Position, nearest
from hanse.estimator import TARGET, Aggregate, Family, Observation
from hanse.metrics import classification as classes
from hanse.metrics import clustering as clusters
from hanse.metrics import distribution
from hanse.metrics.catalog import Metrics
from hanse.models.classifier import is_classifier
from hanse.models.clusters import is_clustering
from hanse.session.features import bind_features
from hanse.session.labels import label_column
from hanse.session.learning import Learner, LoadedModel
from hanse.session.rows import GUARD, Rows, bad_labels, is_cosine, needed_of, unlabelled

__all__ = ["evaluate"]


@dataclass(frozen=True)
class _Scored:
    """Rows with their predictions, in a table of the engine.

    Args:
        learner: whose engine it is.
        loaded: the model.
        table: with the features, each output of the model by its name in ``outputs`` and, where the model learnt from
            labels, ``target``.
        inner: columns of the features.
        outputs: columns of what the model predicts, in its order.
    """

    learner: Learner
    loaded: LoadedModel
    table: str
    inner: tuple[str, ...]
    outputs: tuple[str, ...]

    def observe(self, observation: Observation) -> Any:
        """Over all rows."""
        return self.learner.engine.observe(self.table, observation)


def evaluate(
    learner: Learner, loaded: LoadedModel, sql: str, columns: Mapping[str, str], position: Position | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A model's measures over a query's rows: one scan of the query, and two of its features or scores.

    Args:
        learner: whose engine holds the rows.
        loaded: the model.
        sql: the query, in the engine's dialect.
        columns: what it gives, with engine types.
        position: of the call.

    Returns:
        the measures by name, and warnings.

    Raises:
        BindError: columns do not fit the features or the label.
        DataError: rows that cannot be evaluated.
    """
    engine, model = learner.engine, loaded.model
    label = _label(loaded, columns, position)
    features = {name: kind for name, kind in columns.items() if label is None or name != label[0]}
    bound, warnings = bind_features(loaded.chain, features, loaded.info.name, position, strict=learner.strict_binding)
    inner = tuple(f"f{i}" for i in range(len(bound.elements)))
    listed = [f"{engine.text(x.expression)} AS {f}" for f, x in zip(inner, bound.elements, strict=True)]
    shown = list(inner)
    values = [e.column(f) for f in inner]
    if is_cosine(model):
        norm = e.root(e.total(e.square(f) for f in values))
        shown = [f"{engine.text(e.divide(value, norm))} AS {f}" for f, value in zip(inner, values, strict=True)]
    if label is not None:
        listed.append(f"{engine.text(label[1])} AS {e.quote(TARGET)}")
        shown.append(e.quote(TARGET))
    needed = needed_of(values, model)
    outputs = tuple(f"out{i}" for i in range(len(model.outputs)))
    for name, value in zip(outputs, model.predict(values).values(), strict=True):
        shown.append(f"{engine.text(e.guarded(needed, value, engine.error(GUARD)))} AS {name}")
    query = f"SELECT {', '.join(shown)} FROM (SELECT {', '.join(listed)} FROM ({sql}) AS rows_) AS rows_"
    try:
        with learner.scratch(query) as table:
            measures = _MEASURES[model.family](_Scored(learner, loaded, table, inner, outputs))
    except HanseError as error:
        raise learner.explain_guard(error, loaded, sql, features, position) or error from None
    return asdict(measures), warnings


def _label(
    loaded: LoadedModel, columns: Mapping[str, str], position: Position | None
) -> tuple[str, e.Expression] | None:
    """The column that holds the answers, where the model learnt from such."""
    if not is_classifier(loaded.model):
        return None
    name = loaded.model.label
    if name.lower() not in {c.lower() for c in columns}:
        what = f"evaluating model {loaded.info.name} needs its label, column {name}"
        raise BindError(what, nearest(name, columns), position)
    found = label_column(f"label {name} of model {loaded.info.name}", name, columns, position)
    return found.column, found.value


def _nothing(loaded: LoadedModel) -> DataError:
    return DataError(f"the SELECT gives no rows: there is nothing to evaluate {loaded.info.name} on")


def _clustering(rows: _Scored) -> Metrics:
    model = rows.loaded.model
    assert is_clustering(model)  # by its family
    origins = np.array([c.centroid for c in model.clusters])
    (label,) = rows.outputs
    sums = clusters.sums_of(origins, rows.observe(clusters.first_observation(rows.inner, label, origins)))
    if sums.count.sum() == 0:
        raise _nothing(rows.loaded)
    if not (np.all(np.isfinite(sums.sums)) and np.all(np.isfinite(sums.squares))):
        raise DataError(
            "the squares of the features overflow in their sum: scale them in the SELECT, or leave large numbers out"
        )
    return clusters.metrics_of(sums, rows.observe(clusters.second_observation(rows.inner, label, sums)))


def _classification(rows: _Scored) -> Metrics:
    prediction, probability = rows.outputs
    fit = rows.observe(
        Observation({"rows": Aggregate((e.number(1.0),), (), "count"), "unlabelled": unlabelled()}),
    )
    if fit["rows"] == 0:
        raise _nothing(rows.loaded)
    if fit["unlabelled"]:
        what = f"label of model {rows.loaded.info.name}"
        engine = rows.learner.engine
        raise bad_labels(Rows(engine, rows.table), what, float(fit["unlabelled"]), int(fit["rows"]))
    confusion = rows.observe(classes.confusion_observation(TARGET, prediction))["count"].reshape(2, 2)
    counted = rows.learner.engine.text(classes.scores_counted(rows.table, probability, TARGET))
    with rows.learner.scratch(counted) as scores:
        won = float(rows.learner.engine.observe(scores, classes.pairs_observation(probability))["won"])
    return classes.metrics_of(confusion, won)


def _distribution(rows: _Scored) -> Metrics:
    _, score = rows.outputs
    total = rows.observe(distribution.first_observation(score))
    if total["count"] == 0:
        raise _nothing(rows.loaded)
    mean = float(total["sum"] / total["count"])
    return distribution.metrics_of(mean, rows.observe(distribution.second_observation(score, mean)))


_MEASURES: Mapping[Family, Callable[[_Scored], Metrics]] = {
    "clustering": _clustering,
    "classification": _classification,
    "distribution": _distribution,
}
