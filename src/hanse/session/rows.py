"""The rows that a model is trained on or applied to: surveyed, and refused where they are no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse import expressions as e
from hanse.engines.base import Engine
from hanse.errors import DataError
from hanse.estimator import SUPERVISED, TARGET, WEIGHT, Aggregate, Observation
from hanse.statistics import FloatArray, Statistics

__all__ = ["GUARD", "Rows", "bad_features", "bad_labels", "is_cosine", "needed_of", "survey", "unlabelled"]

GUARD = "hanse: a feature is NULL or not finite"
"""What a query stops with at a row that cannot be predicted; :func:`bad_features` then counts such rows."""

_SHOWN = 5  # labels that an error names
_LARGE = 1e150  # the squares of larger numbers overflow
_FEW_ROWS = 1001  # an odd number, so that a median is one of them


@dataclass
class Rows:
    """Rows of the engine, as transforms see them while they are fitted."""

    engine: Engine
    relation: str

    def observe(self, observation: Observation) -> Statistics:
        """Additive statistics over all rows."""
        return self.engine.observe(self.relation, observation)

    def median(self, value: e.Expression) -> float | None:
        """The exact median."""
        rows = self.engine.rows(f"SELECT median({self.engine.text(value)}) FROM {self.relation}")
        return None if rows[0][0] is None else float(rows[0][0])

    def frequencies(self, value: e.Expression) -> list[tuple[Any, int]]:
        """Distinct values with their counts."""
        text = self.engine.text(value)
        return [(v, n) for v, n in self.engine.rows(f"SELECT {text}, count(*) FROM {self.relation} GROUP BY 1")]


def survey(
    engine: Engine, relation: str, inner: Sequence[str], names: Sequence[str], estimator: Any
) -> tuple[dict[str, Any], tuple[Any, Statistics]]:
    """One scan that finds out whether all rows are numbers; a second one counts those that are not.

    Args:
        engine: where the rows are.
        relation: a table of features.
        inner: its columns.
        names: what the user calls them.
        estimator: what is to be trained on them.

    Returns:
        ``rows``, and for each feature whether it is ``constant``; and how training begins: the estimator's first state
        and the total of its observation, taken along.

    Raises:
        DataError: rows or labels that cannot be trained on, counted, with their columns.
    """
    size = (len(inner),)
    values = [e.column(f) for f in inner]
    about = _middle(engine, relation, inner)
    weight_col = getattr(estimator, "weight_col", None)
    away = tuple(e.square(e.subtract(v, e.number(x))) for v, x in zip(values, about, strict=True))
    aggregates = {
        "rows": Aggregate((e.number(1.0),), (), "count"),
        "known": Aggregate(tuple(values), size, "count"),
        "away": Aggregate(away, size),
    }
    if is_cosine(estimator):
        aggregates["length"] = Aggregate((e.total(e.square(v) for v in values),), (), "min")
    if weight_col is not None:
        w = e.column(WEIGHT)
        fits = e.both(e.is_number(w), e.at_least(w, e.number(0.0)))
        aggregates["weight"] = Aggregate((e.case([e.when(fits, e.number(0.0))], e.number(1.0)),))
    if estimator.family in SUPERVISED:
        aggregates["unlabelled"] = unlabelled()
    state = estimator.start(inner, about)
    first = estimator.observe(state)
    assert first.cells == 1  # nothing is known yet by which rows could be told apart
    aggregates |= {f"first_{name}": aggregate for name, aggregate in first.aggregates.items()}
    observed = engine.observe(relation, Observation(aggregates, first.let, first.cell))
    found = {name: observed[name] if first.cell is None else observed[name][0] for name in aggregates}
    count = int(found["rows"])
    if count == 0:
        raise DataError("the SELECT gives no rows: there is nothing to train on")
    if weight_col is not None and found["weight"] > 0:
        raise DataError(
            f"WEIGHT_COL = {weight_col!r}: {found['weight']:.0f} of {count} rows have a weight that is "
            "NULL, negative or not finite: filter them out or set a weight"
        )
    directed = not is_cosine(estimator) or float(found["length"]) > 1e-300
    if np.any(found["known"] < count) or not np.all(np.isfinite(found["away"])) or not directed:
        error = bad_features(engine, relation, needed_of(values, estimator), names)
        if error is not None:
            raise error
    large = [n for n, a in zip(names, found["away"], strict=True) if not a <= _LARGE**2]
    if large:
        raise DataError(
            f"feature{'s'[: len(large) != 1]} {', '.join(large)}: numbers above {_LARGE:g}, whose squares "
            "overflow: scale them in the SELECT, or with TRANSFORM (standard_scaler(column) alias, ...)"
        )
    unfit = float(found["unlabelled"]) if "unlabelled" in aggregates else 0.0
    if unfit:
        raise bad_labels(Rows(engine, relation), f"LABEL = {estimator.label!r}", unfit, count)
    taken_along = Statistics({name: observed[f"first_{name}"] for name in first.aggregates})
    return {"rows": count, "constant": (found["away"] == 0).tolist()}, (state, taken_along)


def _middle(engine: Engine, relation: str, inner: Sequence[str]) -> FloatArray:
    """(d,) the medians of a few rows, 0 where they are no numbers; a constant feature's is exactly its value."""
    medians = ", ".join(f"median({f})" for f in inner)
    rows = engine.rows(f"SELECT {medians} FROM (SELECT * FROM {relation} LIMIT {_FEW_ROWS}) AS few_rows")
    found = np.array([np.nan if x is None else float(x) for x in rows[0]])
    return np.where(np.isfinite(found), found, 0.0)


def is_cosine(model: Any) -> bool:
    """Whether an estimator or a model compares directions."""
    return bool(getattr(model, "distance_measure", "euclidean") == "cosine")


def needed_of(features: Sequence[e.Expression], model: Any) -> list[e.Expression]:
    """What must be finite numbers: the features and, for cosine distance, 1 over the row's squared length."""
    if not is_cosine(model):
        return list(features)
    return [*features, e.divide(e.number(1.0), e.total(e.square(e.again(f)) for f in features))]


def bad_features(
    engine: Engine, relation: str, needed: Sequence[e.Expression], names: Sequence[str]
) -> DataError | None:
    """Count the rows in which a feature is NULL or not finite, or that have no direction.

    Args:
        engine: where the rows are.
        relation: a table of features.
        needed: what :func:`needed_of` gave.
        names: of the features.

    Returns:
        what to say of them; None where all rows are fine.
    """
    observation = Observation(
        {
            "rows": Aggregate((e.number(1.0),), (), "count"),
            "bad": Aggregate(tuple(e.bad_count(v) for v in needed), (len(needed),)),
        }
    )
    found = engine.observe(relation, observation)
    bad, rows = found["bad"].tolist(), int(found["rows"])
    named = [f"{name} ({count:.0f} of {rows} rows)" for name, count in zip(names, bad, strict=False) if count > 0]
    if named:
        return DataError(
            f"NULL or non-finite features: {', '.join(named)}: filter these rows out in the SELECT, or fill them with "
            "TRANSFORM (numeric_imputer(column, 'mean') alias, ...)"
        )
    if not any(bad):
        return None
    return DataError(
        f"cosine distance: {bad[-1]:.0f} of {rows} rows are 0 in every feature, which is no direction: filter "
        "these rows out in the SELECT, or use DISTANCE_MEASURE = 'euclidean'"
    )


def unlabelled() -> Aggregate:
    """Rows whose ``target`` is neither 0 nor 1."""
    target = e.column(TARGET)
    fits = [e.when(e.equal(e.again(target), e.number(label)), e.number(0.0)) for label in (0.0, 1.0)]
    return Aggregate((e.case(fits, e.number(1.0)),))


def bad_labels(rows: Rows, what: str, bad: float, count: int) -> DataError:
    """What to say of labels that are neither 0 nor 1.

    Args:
        rows: with a column ``target``.
        what: names the column.
        bad: how many rows have such a label.
        count: how many rows there are.
    """
    found = [(value, n) for value, n in rows.frequencies(e.column(TARGET)) if value not in (0.0, 1.0)]
    found.sort(key=lambda item: -item[1])
    named = [f"{'NULL' if v is None else f'{v:.10g}'} ({n} row{'s'[: n != 1]})" for v, n in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more values"] if len(found) > _SHOWN else []
    return DataError(
        f"{what}: {bad:.0f} of {count} rows have a label other than 0 and 1: {', '.join(named + more)}: filter these "
        "rows out in the SELECT, or say what makes a row 1, as CASE WHEN ... THEN 1 ELSE 0 END"
    )
