"""What each kind of task asks of a snapshot, as questions for the gate, and the answer made of what it releases."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hanse import expressions as e
from hanse.errors import HanseError, nearest
from hanse.estimator import WEIGHT, Aggregate, Estimator, Observation, train
from hanse.federation.gate import Release
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.federation.scored import scored
from hanse.federation.snapshot import Snapshot
from hanse.federation.tally import Asked
from hanse.messages import Reason, Task
from hanse.metrics.clustering import ClusteringSums, first_observation, second_observation
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.catalog import ESTIMATORS
from hanse.models.codec import state_from_plain
from hanse.options import Given, build
from hanse.statistics import FloatArray

__all__ = ["WORK", "Answered", "Judge", "Work", "clustered", "estimator_for", "local_cells"]

_MORE_CLUSTERS: Final = 6

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


def moments(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """``count`` (), ``mean`` (d,) and ``m2`` (d,), the sum of squared deviations from the silo's own mean."""
    inner, view = _view(snapshot, task)
    columns = [e.column(f) for f in inner]
    size = (len(inner),)
    own = snapshot.engine.observe(view, Observation({"sum": Aggregate(tuple(columns), size)}))["sum"]
    about = own / max(snapshot.meta.rows, 1)
    away = [e.subtract(c.copy(), e.number(m)) for c, m in zip(columns, about, strict=True)]
    layer = {f"z{i}": value for i, value in enumerate(away)}
    z = [e.column(name) for name in layer]
    aggregates = {
        "count": Aggregate((e.number(1.0),)),
        "sum": Aggregate(tuple(z), size),
        "m2": Aggregate(tuple(e.square(c) for c in z), size),
    }
    release = judge(Asked(snapshot, view, Observation(aggregates, (layer,)), inner))
    found = {name: array[0] for name, array in release.tally.arrays.items()}
    shift = found["sum"] / found["count"]
    statistics = {
        "count": found["count"],
        "mean": about + shift,
        "m2": np.maximum(found["m2"] - found["count"] * shift**2, 0.0),
    }
    return Answered(statistics, (), (release,), 1)


def summarize(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """For each released local cluster ``count`` (), ``sum`` (d,), ``square`` (d,); strategy article: ``mean`` (d,)."""
    wanted = task.payload.get("clusters")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise RefusalError("protocol", f"clusters = {wanted!r:.40}: need a whole number from 1")
    if wanted > policy.max_clusters:
        raise RefusalError("policy", f"clusters = {wanted}: max_clusters = {policy.max_clusters} here")
    _, release = local_cells(snapshot, task, wanted, policy.max_clusters, judge)
    held = [int(i) for i in np.flatnonzero(release.tally.customers > 0)]
    number = {cell: i for i, cell in enumerate(held)}
    arrays = {name: array[held] for name, array in release.tally.arrays.items()}
    if task.strategy == "article":
        arrays = {"mean": arrays["sum"] / arrays["count"][:, None]}
    reasons = release.reasons([number.get(j, -1) for j in release.mapping])
    return Answered(arrays, reasons, (release,), len(held))


def local_cells(snapshot: Snapshot, task: Task, wanted: int, max_clusters: int, judge: Judge) -> tuple[Asked, Release]:
    """The silo's own clusters: the release of at most ``wanted`` cells that leaves least inertia within them.

    Bisecting k-means isolates anomalies by design, and those join a sibling at the gate; a few clusters more then keep
    the others apart. Nothing of what is tried leaves but the one that is taken.
    """
    best: tuple[float, Asked, Release] | None = None
    for clusters in range(wanted, min(wanted + _MORE_CLUSTERS, max_clusters) + 1):
        asked = clustered(snapshot, task, clusters)
        release = judge(asked)
        held = release.tally.customers > 0
        count, sums, squares = (release.tally.arrays[name][held] for name in ("count", "sum", "square"))
        inertia = float((squares.sum(axis=1) - (sums**2).sum(axis=1) / count).sum())
        if held.sum() <= wanted and (best is None or inertia < best[0] * (1 - 1e-9)):
            best = inertia, asked, release
        if release.merged == 0 or wanted == 1 or clusters >= snapshot.meta.rows:
            break
    assert best is not None  # the first try has at most as many cells as are wanted
    return best[1], best[2]


def clustered(snapshot: Snapshot, task: Task, wanted: int) -> Asked:
    """At most ``wanted`` local clusters as cells, not judged yet."""
    inner, view = _view(snapshot, task)
    clusters = min(wanted, snapshot.meta.rows)
    cell: e.Expression = e.integer(0)
    count = 1
    if clusters > 1:
        estimator = BisectingKMeans(num_clusters=clusters)
        model = train(estimator, inner, [lambda o: snapshot.engine.observe(view, o)]).model
        cell = next(iter(model.predict([e.column(f) for f in inner]).values()))
        count = len(model.clusters)  # type: ignore[attr-defined]  # a clustering
    columns = [e.column(f) for f in inner]
    size = (len(inner),)
    aggregates = {
        "count": Aggregate((e.number(1.0),)),
        "sum": Aggregate(tuple(columns), size),
        "square": Aggregate(tuple(e.square(c) for c in columns), size),
    }
    return Asked(snapshot, view, Observation(aggregates, (), cell, count), inner)


def observe(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """The statistics of the estimator's ``observe(state)``, in the plan's shapes; joined cells are 0 and told so."""
    estimator = estimator_for(task)
    inner, view = _view(snapshot, task, weight=getattr(estimator, "weight_col", None))
    try:
        state = state_from_plain(type(estimator.start(inner)), task.state)
        _check_state(state, len(inner))
        if hasattr(state, "features"):
            state = dataclasses.replace(state, features=tuple(inner))
        observation = estimator.observe(state)
    except (HanseError, ValueError, IndexError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise RefusalError("protocol", "the state does not fit the model type", detail=str(error)) from None
    cells = 1 if observation.cell is None else observation.cells
    if cells > policy.max_clusters:
        raise RefusalError(
            "policy", f"the plan has {cells} cells: max_clusters = {policy.max_clusters} here; use SPLIT_STARTS = 1"
        )
    release = judge(Asked(snapshot, view, observation, inner))
    arrays = release.tally.arrays
    if observation.cell is None:
        arrays = {name: array[0] for name, array in arrays.items()}
    return Answered(arrays, release.reasons(), (release,), int((release.tally.customers > 0).sum()))


def evaluate(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """Phase 1: ``count``, ``sum``, ``square`` by cluster; phase 2: ``silhouette``, ``inertia``, ``distance`` (held,).

    Rows of a cluster that may not leave are labelled with the nearest one here, in both phases.
    """
    model = scored(snapshot, task.payload.get("artifact"), task.features, policy.max_clusters)
    inner = list(model.columns)
    view = snapshot.view({**model.columns, "plan_label": model.label})
    first = Asked(snapshot, view, first_observation(inner, "label", model.origins), inner, "label")
    phase = task.payload.get("phase", 1)
    release = judge(first)
    if phase == 1:
        return Answered(release.tally.arrays, release.reasons(), (release,), int((release.tally.customers > 0).sum()))
    if phase != 2:
        raise RefusalError("protocol", f"phase = {phase!r:.40}: need 1 or 2")
    sums = _sums(task.payload.get("sums"), model.origins)
    if np.any((sums.count <= 0) & (release.tally.customers > 0)):
        raise RefusalError("protocol", "the sums of phase 1 do not hold this silo's clusters")
    observation = joined_label(second_observation(inner, "label", sums), release.mapping)
    second = judge(Asked(snapshot, view, observation, inner))
    arrays = {name: array[0] for name, array in second.tally.arrays.items()}
    return Answered(arrays, release.reasons(), (release, second), 1 + int((release.tally.customers > 0).sum()))


def joined_label(observation: Observation, mapping: Sequence[int]) -> Observation:
    """The observation over rows whose ``label`` is their ``plan_label``, joined."""
    branches = [
        e.when(e.equal(e.column("plan_label"), e.integer(i)), e.integer(j)) for i, j in enumerate(mapping) if i != j
    ]
    label = e.case(branches, e.column("plan_label"))
    layers = ({"label": label}, *observation.let)
    return Observation(observation.aggregates, layers, observation.cell, observation.cells)


def compare(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """``contingency`` (k_local, k_global): rows by the local and the global model's cluster, gated cell by cell."""
    ours = scored(snapshot, task.payload.get("local"), task.features, policy.max_clusters)
    theirs = scored(snapshot, task.payload.get("artifact"), task.features, policy.max_clusters)
    columns = {f"l{name}": value for name, value in ours.columns.items()}
    view = snapshot.view({**theirs.columns, **columns, "ours": ours.label, "theirs": theirs.label})
    k_local, k_global = len(ours.origins), len(theirs.origins)
    cell = e.add(e.multiply(e.column("ours"), e.integer(k_global)), e.column("theirs"))
    counted = Observation({"count": Aggregate((e.number(1.0),))}, (), cell, k_local * k_global)
    release = judge(Asked(snapshot, view, counted, list(theirs.columns)))
    table = release.tally.arrays["count"].reshape(k_local, k_global)
    cells = int((release.tally.customers > 0).sum())
    return Answered({"contingency": table}, release.reasons(), (release,), cells)


WORK: Final[Mapping[str, Work]] = {
    "moments": moments,
    "summarize": summarize,
    "observe": observe,
    "evaluate": evaluate,
    "compare": compare,
}
"""The kinds of tasks that release statistics."""


def estimator_for(task: Task) -> Estimator[Any]:
    """The estimator, built of this silo's own code.

    Raises:
        RefusalError: the type or an option is unknown.
    """
    kinds = {kind.model_type: kind for kind in ESTIMATORS}
    if task.model_type not in kinds:
        raise RefusalError("protocol", f"model type {task.model_type!r:.60}: {nearest(task.model_type, kinds)}")
    given = [Given(key, value) for key, value in task.options.items() if value is not None]
    try:
        estimator: Estimator[Any] = build(kinds[task.model_type], given, task.model_type)
    except HanseError as error:
        raise RefusalError("protocol", f"options of {task.model_type}: {error}") from None
    return estimator


def _view(snapshot: Snapshot, task: Task, weight: str | None = None) -> tuple[list[str], str]:
    """The task's features, scaled, as ``f0``, ``f1`` ..."""
    key = repr((task.features, task.payload.get("scaler"), weight))
    if key not in snapshot.views:
        columns = _columns(snapshot, task)
        inner = list(columns)
        if weight is not None:
            columns[WEIGHT] = snapshot.column(weight)
        snapshot.views[key] = inner, snapshot.view(columns)
    return snapshot.views[key]


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


def _check_state(state: Any, d: int) -> None:
    """Refuse a state that could send an estimator in circles, or that is of another width."""
    features = getattr(state, "features", None)
    if features is not None and len(features) != d:
        raise ValueError(f"the state has {len(features)} features, the task {d}")
    tree = getattr(state, "tree", ())
    for number, node in enumerate(tree):
        if node.sides is not None and not all(number < side < len(tree) for side in node.sides):
            raise ValueError(f"node {number} of the tree stands above itself")


def _sums(data: Any, origins: FloatArray) -> ClusteringSums:
    try:
        count, sums, squares = (np.array(data[key], dtype=np.float64) for key in ("count", "sum", "square"))
    except (KeyError, TypeError, ValueError):
        raise RefusalError("protocol", "sums: need count, sum and square of phase 1") from None
    k = len(origins)
    if count.shape != (k,) or sums.shape != origins.shape or squares.shape != (k,):
        raise RefusalError("protocol", f"sums: need those of {k} clusters")
    if not all(np.all(np.isfinite(a)) for a in (count, sums, squares)):
        raise RefusalError("protocol", "sums: need finite numbers")
    return ClusteringSums(origins, count, sums, squares)
