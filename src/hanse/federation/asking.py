"""What all kinds of tasks share: the form of an answer, and a task's columns laid over the snapshot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanse import expressions as e
from hanse.errors import HanseError, nearest
from hanse.estimator import SUPERVISED, TARGET, Aggregate, Estimator, Observation
from hanse.federation.gate import Release
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.federation.snapshot import Snapshot
from hanse.federation.tally import Asked
from hanse.messages import Reason, Task
from hanse.models.catalog import ESTIMATORS
from hanse.options import Given, build
from hanse.statistics import FloatArray

__all__ = [
    "Answered",
    "Judge",
    "Work",
    "estimator_for",
    "far_columns",
    "far_names",
    "label_of",
    "moments_asked",
    "view_of",
]

Judge = Callable[[Asked], Release]
"""The gate, as it holds for one task."""


@dataclass(frozen=True)
class Answered:
    """What leaves for one task.

    Args:
        statistics: arrays by name.
        reasons: for the coordinator.
        releases: the gate's, for the ledger.
        cells: how many cells are released; what the budget counts.
    """

    statistics: Mapping[str, FloatArray]
    reasons: tuple[Reason, ...]
    releases: tuple[Release, ...]
    cells: int


Work = Callable[[Snapshot, Task, Policy, Judge], Answered]


def estimator_for(model_type: str, options: Mapping[str, Any]) -> Estimator[Any]:
    """The estimator, built of this silo's own code.

    Raises:
        RefusalError: the type or an option is unknown.
    """
    kinds = {kind.model_type: kind for kind in ESTIMATORS}
    if model_type not in kinds:
        raise RefusalError("protocol", f"model type {model_type!r:.60}: {nearest(model_type, kinds)}")
    given = [Given(key, value) for key, value in options.items() if value is not None]
    try:
        estimator: Estimator[Any] = build(kinds[model_type], given, model_type)
    except HanseError as error:
        raise RefusalError("protocol", f"options of {model_type}: {error}") from None
    return estimator


def label_of(estimator: Any) -> str:
    """The published column that a model type learns to predict; empty for one that learns without labels.

    Raises:
        RefusalError: the task names none, and one is needed.
    """
    if estimator.family not in SUPERVISED:
        return ""
    if not estimator.label:
        raise RefusalError("protocol", f"{estimator.model_type} needs the option label")
    return str(estimator.label)


def far_names(features: Sequence[str]) -> tuple[str, ...]:
    """What the columns are called that the gate judges dominance by: ``far0``, ``far1`` ..."""
    return tuple(f"far{i}" for i in range(len(features)))


def far_columns(snapshot: Snapshot, features: Sequence[str]) -> dict[str, e.Expression]:
    """Those columns, for a view over published ones."""
    return dict(zip(far_names(features), map(snapshot.far, features), strict=True))


def view_of(snapshot: Snapshot, task: Task, label: str = "") -> tuple[list[str], str]:
    """The task's features, scaled, as ``f0``, ``f1`` ..., how far they are, and ``target`` where a label is named.

    Raises:
        RefusalError: a column is not published, or the label is a feature, too.
    """
    key = repr((task.features, task.payload.get("scaler"), label))
    if key not in snapshot.views:
        columns = _columns(snapshot, task)
        inner = list(columns)
        if label:
            if label.lower() in {f.lower() for f in task.features}:
                raise RefusalError("protocol", f"the label {label:.60} is a feature, too")
            columns[TARGET] = snapshot.column(label)
        columns |= far_columns(snapshot, task.features)
        snapshot.views[key] = inner, snapshot.view(columns)
    return snapshot.views[key]


def moments_asked(
    snapshot: Snapshot, view: str, inner: Sequence[str], classes: Sequence[int] = ()
) -> tuple[FloatArray, Asked]:
    """The silo's own mean (d,), and a question for ``count``, ``sum`` (d,) and ``m2`` (d,) about it."""
    columns = [e.column(f) for f in inner]
    size = (len(inner),)
    own = snapshot.engine.observe(view, Observation({"sum": Aggregate(tuple(columns), size)}))["sum"]
    about = own / max(snapshot.meta.rows, 1)
    away = [e.subtract(e.again(c), e.number(m)) for c, m in zip(columns, about, strict=True)]
    layer = {f"z{i}": value for i, value in enumerate(away)}
    z = [e.column(name) for name in layer]
    aggregates = {
        "count": Aggregate((e.number(1.0),)),
        "sum": Aggregate(tuple(z), size),
        "m2": Aggregate(tuple(e.square(c) for c in z), size),
    }
    return about, Asked(snapshot, view, Observation(aggregates, (layer,)), inner, classes=tuple(classes))


def _columns(snapshot: Snapshot, task: Task) -> dict[str, e.Expression]:
    features = [snapshot.column(f) for f in task.features]
    if not features or len({f.lower() for f in task.features}) < len(features):
        raise RefusalError("protocol", "features: need at least one, and distinct names")
    mean, deviation = _scaler(task.payload.get("scaler"), len(features))
    columns: dict[str, e.Expression] = {}
    for i, value in enumerate(features):
        scaled = value if mean[i] == 0 else e.subtract(value, e.number(mean[i]))
        if deviation[i] <= 0:
            scaled = e.multiply(scaled, e.number(0.0))
        elif deviation[i] != 1:
            scaled = e.divide(scaled, e.number(deviation[i]))
        columns[f"f{i}"] = scaled
    return columns


def _scaler(data: Any, d: int) -> tuple[list[float], list[float]]:
    if data is None:
        return [0.0] * d, [1.0] * d
    try:
        mean, deviation = ([float(x) for x in data[key]] for key in ("mean", "deviation"))
    except (KeyError, TypeError, ValueError):
        raise RefusalError("protocol", "scaler: need mean and deviation, a number for each feature") from None
    if len(mean) != d or len(deviation) != d or not all(map(math.isfinite, [*mean, *deviation])):
        raise RefusalError("protocol", "scaler: need mean and deviation, a finite number for each feature")
    return mean, deviation
