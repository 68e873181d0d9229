"""Table functions about anomalies: what stands in a query in their place; rows stay in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hanse import expressions as e
from hanse.anomalies.explain import explained
from hanse.anomalies.quantiles import LARGEST_CONTAMINATION
from hanse.anomalies.score import ORDINARY_SHARE, Scored, Scoring
from hanse.errors import BindError, HanseError, Position
from hanse.options import Range, build, option
from hanse.session.laying import check_label, featured, given_options, scoring_for, stopped
from hanse.session.learning import LoadedModel
from hanse.sql.binder import Expansion, Prepared
from hanse.sql.nodes import TableFunction, position_of
from hanse.sql.table_functions import options_of

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["Detection", "detect", "explain"]

DEFAULT_CONTAMINATION = 0.02
_TOO_FEW = "hanse: fewer rows than topk"
_MANY = 100  # training rows: a quantile of fewer says little


@dataclass(frozen=True)
class Detection:
    """The options of ``detect_anomalies`` and ``explain_anomalies``."""

    contamination: float | None = option(
        None,
        Range(float, 0, LARGEST_CONTAMINATION, open_low=True),
        "share of the training rows that would be anomalies; 0.02 where none of the first three is given",
    )
    threshold: float | None = option(None, Range(float), "rows with a higher `anomaly_score` are anomalies")
    topk: int | None = option(None, Range(int, 1), "so many rows, those of the highest `anomaly_score`, are anomalies")
    ordinary_share: float = option(
        ORDINARY_SHARE,
        Range(float, 0, 1, open_low=True),
        "share of the training's weight that a cluster must hold to be ordinary",
    )


@dataclass(frozen=True)
class _Laid:
    """A model's scores, laid over a query.

    Args:
        relation: the query with every column that is needed, as something that can stand in FROM.
        outputs: label and scores, over ``relation``.
        is_anomaly: the condition, over ``relation`` with ``outputs``.
        label: the label's name.
        scored: the expressions.
    """

    relation: e.Expression
    label: str
    scored: Scored
    is_anomaly: e.Expression
    warnings: tuple[str, ...]


def detect(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    """Every input column, the label, the scores and ``is_anomaly``."""
    assert query is not None  # the grammar asks for it
    laid = _lay(session, loaded, function, query)
    scores = dict.fromkeys(("distance", "normalized_distance", "anomaly_score"), "DOUBLE")
    check_label(loaded, laid.label, (*scores, "is_anomaly"), function)
    added = {laid.label: "INTEGER", **scores, "is_anomaly": "BOOLEAN"}
    _check_names(loaded, query, added, position_of(function))
    shown = {name: e.column(name) for name in (*query.columns, *added)}
    tree = e.select(e.select_over(laid.relation, {"is_anomaly": laid.is_anomaly}), shown)
    return Expansion(
        tree, {**query.columns, **added}, (*query.warnings, *laid.warnings), _hooks(session, loaded, function, query)
    )


def explain(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared | None) -> Expansion:
    """The anomalous rows: every input column, the label, the score, the features that carry it, and a sentence."""
    assert query is not None  # the grammar asks for it
    laid = _lay(session, loaded, function, query)
    layers, outputs = explained(laid.scored.contributions)
    check_label(loaded, laid.label, ("anomaly_score", *outputs), function)
    added = {laid.label: "INTEGER", "anomaly_score": "DOUBLE", **{n: k for n, (k, _) in outputs.items()}}
    _check_names(loaded, query, added, position_of(function))
    flagged: e.Expression = e.select_over(laid.relation, {"is_anomaly": laid.is_anomaly})
    flagged = e.derived(e.where(flagged, [e.star()], e.column("is_anomaly")))
    for layer in layers:
        flagged = e.select_over(flagged, layer)
    shown = {name: e.column(name) for name in (*query.columns, laid.label, "anomaly_score")}
    shown |= {name: value for name, (_, value) in outputs.items()}
    return Expansion(
        e.select(flagged, shown),
        {**query.columns, **added},
        (*query.warnings, *laid.warnings),
        _hooks(session, loaded, function, query),
    )


def _lay(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared) -> _Laid:
    """Scores over a query's rows, layer by layer; a feature that is no number stops the query."""
    place = position_of(function)
    options: Detection = build(Detection, given_options(function), function.name)
    scoring = scoring_for(loaded, options.ordinary_share, place)
    condition, notes = _condition(session, loaded, function, options, scoring, list(query.columns))
    relation, features, warnings = featured(session, loaded, query, place, e.derived(query.tree.copy()), "__hanse_f")
    scored = scoring.over(features)
    label = next(iter(scored.outputs))
    outputs = {**scored.outputs, label: stopped(session, loaded, features, scored.outputs[label])}
    for layer in (*scored.let, outputs):
        relation = e.select_over(relation, layer)
    return _Laid(relation, label, scored, condition, (*warnings, *notes))


def _condition(
    session: Session,
    loaded: LoadedModel,
    function: TableFunction,
    options: Detection,
    scoring: Scoring,
    columns: Sequence[str],
) -> tuple[e.Expression, tuple[str, ...]]:
    """When a row is an anomaly, and what the user should know of it."""
    given = [n for n in ("contamination", "threshold", "topk") if getattr(options, n) is not None]
    if len(given) > 1:
        second = next(k for k in options_of(function) if k.name == given[1])
        raise BindError(f"{given[0]} and {given[1]}", "keep one of contamination, threshold and topk", second.position)
    score = e.column("anomaly_score")
    if options.topk is not None:
        rank = e.rank_of(score, [e.column(c) for c in columns])
        chosen = e.at_least(e.integer(options.topk), rank)
        enough = e.at_least(e.row_count(), e.integer(options.topk))
        return e.case([e.when(enough, chosen)], session.engine.error(_TOO_FEW)), ()
    if options.threshold is not None:
        return e.above(score, e.number(options.threshold)), ()
    share = DEFAULT_CONTAMINATION if options.contamination is None else options.contamination
    threshold, notes = _threshold(loaded, scoring, share, options, position_of(function))
    return e.above(score, e.number(threshold)), notes


def _threshold(
    loaded: LoadedModel, scoring: Scoring, share: float, options: Detection, place: Position | None
) -> tuple[float, tuple[str, ...]]:
    """The score that a share of the training rows exceeds.

    Raises:
        BindError: the artifact does not tell, or tells of other ordinary clusters.
    """
    name = loaded.info.name
    quantiles = loaded.basis.quantiles
    what = f"contamination = {share:g} of model {name}"
    if quantiles is None:
        cure = (
            "the model keeps no quantiles of its training scores, so a share is no threshold: give threshold => "
            "or topk =>, or train it anew"
        )
        raise BindError(what, cure, place)
    if scoring.ordinary != loaded.basis.ordinary:
        cure = (
            f"its training scores were taken against clusters {list(loaded.basis.ordinary)}, and with ordinary_share = "
            f"{options.ordinary_share:g} {list(scoring.ordinary)} are ordinary: give threshold => or topk =>"
        )
        raise BindError(what, cure, place)
    notes: tuple[str, ...] = ()
    if quantiles.rows < _MANY:
        notes = (
            f"{what} is a quantile of {quantiles.rows} training row{'s'[: quantiles.rows != 1]}: "
            "threshold => or topk => say more",
        )
    if share < quantiles.tail_share:
        notes = (
            *notes,
            f"{what}: the {quantiles.tail_share:.3g} of highest scores passed the silos' gates as one cell, so the "
            "threshold is extrapolated",
        )
    return quantiles.threshold(share), notes


def _hooks(session: Session, loaded: LoadedModel, function: TableFunction, query: Prepared) -> tuple[Any, ...]:
    place = position_of(function)

    def guard(error: HanseError) -> HanseError | None:
        return session.learner.explain_guard(error, loaded, query.sql, query.columns, place)

    def too_few(error: HanseError) -> HanseError | None:
        if _TOO_FEW not in str(error):
            return None
        (row,) = session.engine.rows(f"SELECT count(*) FROM ({query.sql}) AS rows_")
        topk = next(o for o in options_of(function) if o.name == "topk")
        return BindError(f"topk = {topk.value}", f"the SELECT gives {row[0]} rows: need at most as many", topk.position)

    return (guard, too_few, *query.explain)


def _check_names(loaded: LoadedModel, query: Prepared, added: Mapping[str, str], place: Position | None) -> None:
    """Refuse a column of the query that is called like one that is added."""
    taken = {name.lower() for name in added}
    clash = next((c for c in query.columns if c.lower() in taken), None)
    if clash is not None:
        what = f"the SELECT has a column {clash}, which the anomalies of model {loaded.info.name} bring themselves"
        raise BindError(what, "give it another name with AS, or leave it out", place)
