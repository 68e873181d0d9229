"""Models laid over a query: features, labels and scores as further columns of a relation; rows stay in the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hanse import expressions as e
from hanse.anomalies.score import ClusterScoring, Scoring, scoring_of
from hanse.errors import BindError, DataError, HanseError, Position, UnsupportedError
from hanse.estimator import Observation
from hanse.models.clusters import Clustering, is_clustering
from hanse.options import Given
from hanse.session.features import bind_features
from hanse.session.learning import LoadedModel
from hanse.session.rows import GUARD, needed_of
from hanse.sql.binder import Prepared
from hanse.sql.nodes import TableFunction, position_of
from hanse.sql.table_functions import options_of
from hanse.statistics import Statistics

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = [
    "check_label",
    "clustering_for",
    "clustering_of",
    "doubles_beside",
    "featured",
    "given_options",
    "labelled",
    "observed",
    "scoring_for",
    "stopped",
]


def featured(
    session: Session,
    loaded: LoadedModel,
    query: Prepared,
    place: Position | None,
    relation: e.Expression,
    mark: str,
) -> tuple[e.Expression, list[e.Expression], tuple[str, ...]]:
    """A relation with the model's features as further columns, and warnings.

    The first feature stops the query in a row where any of them is no number, so that nothing is computed of it.
    """
    bound, warnings = bind_features(
        loaded.chain, query.columns, loaded.info.name, place, strict=session.learner.strict_binding
    )
    relation = e.select_over(relation, {f"{mark}{i}": x.expression for i, x in enumerate(bound.elements)})
    plain = [e.column(f"{mark}{i}") for i in range(len(bound.elements))]
    relation = e.select_over(relation, {f"{mark}_first": stopped(session, loaded, plain, e.again(plain[0]))})
    return relation, [e.column(f"{mark}_first"), *plain[1:]], warnings


def stopped(
    session: Session, loaded: LoadedModel, features: Sequence[e.Expression], value: e.Expression
) -> e.Expression:
    """The value; a row in which a feature is no number stops the query."""
    return e.guarded(needed_of(features, loaded.model), value, session.engine.error(GUARD))


def labelled(
    session: Session,
    loaded: LoadedModel,
    query: Prepared,
    place: Position | None,
    relation: e.Expression,
    mark: str,
) -> tuple[e.Expression, list[e.Expression], tuple[str, ...]]:
    """A relation with the model's features and its label, called ``mark`` and ``_label``; and warnings."""
    relation, features, warnings = featured(session, loaded, query, place, relation, mark)
    label = next(iter(loaded.model.predict(features).values()))
    return e.select_over(relation, {f"{mark}_label": label}), features, warnings


def observed(
    session: Session,
    loaded: LoadedModel,
    query: Prepared,
    place: Position | None,
    relation: e.Expression,
    observation: Observation,
) -> Statistics:
    """One scan; an error says which feature is no number, and in how many rows."""
    try:
        return session.engine.observe(relation, observation)
    except HanseError as error:
        better = session.learner.explain_guard(error, loaded, query.sql, query.columns, place)
        raise better or error from None


def given_options(function: TableFunction) -> list[Given]:
    """The options of a call, as :func:`hanse.options.build` takes them."""
    return [Given(o.name, o.value, o.position, o.value_position) for o in options_of(function)]


def clustering_of(loaded: LoadedModel, function: TableFunction) -> Clustering:
    """The model, for a function that asks for clusters.

    Raises:
        BindError: it has none.
    """
    if not is_clustering(loaded.model):
        what = f"{function.name} needs a clustering, and model {loaded.info.name} is a {loaded.artifact.model_type}"
        cure = "ask model_predict or model_evaluate, or DESCRIBE MODEL for its numbers"
        raise BindError(what, cure, position_of(function))
    return loaded.model


def clustering_for(loaded: LoadedModel, function: TableFunction, ordinary_share: float) -> ClusterScoring:
    """How a clustering scores.

    Raises:
        BindError: the model is none, or it cannot; with the call's place.
    """
    clustering_of(loaded, function)
    scoring = scoring_for(loaded, ordinary_share, position_of(function))
    assert isinstance(scoring, ClusterScoring)  # it has clusters
    return scoring


def scoring_for(loaded: LoadedModel, ordinary_share: float, place: Position | None) -> Scoring:
    """How a model scores.

    Raises:
        BindError: it cannot; with the call's place.
    """
    try:
        return scoring_of(loaded.model, loaded.basis.profile, ordinary_share=ordinary_share, name=loaded.info.name)
    except DataError as error:
        raise BindError(str(error), "", place) from None
    except UnsupportedError as error:
        raise (error if place is None else error.within(place)) from None


def check_label(loaded: LoadedModel, label: str, others: Iterable[str], function: TableFunction) -> None:
    """Refuse a model whose label is called like another column that a table function gives.

    Raises:
        BindError: it is.
    """
    if label.lower() in {name.lower() for name in others}:
        what = (
            f"model {loaded.info.name} calls its label {label}, and {function.name} gives a column of that name itself"
        )
        raise BindError(what, "train the model with another PREDICTION_COL", position_of(function))


def doubles_beside(taken: Iterable[str], named: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Columns of doubles, each under its own name; one that is taken gets the suffix beside it, until it is not."""
    kinds: dict[str, str] = {}
    known = {name.lower() for name in taken}
    for name, suffix in named:
        while name.lower() in known:
            name += suffix
        known.add(name.lower())
        kinds[name] = "DOUBLE"
    return kinds
