"""What each kind of task asks of a snapshot, as questions for the gate, and the answer made of what it releases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from hanse import expressions as e
from hanse.anomalies.quantiles import EDGES, edge_cell
from hanse.estimator import Aggregate, Family, Observation, train
from hanse.federation.asking import Answered, Judge, Work, far_columns, far_names, moments_asked, view_of
from hanse.federation.gate import Release
from hanse.federation.labelled import evaluate_classifier, fit
from hanse.federation.observing import observed
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.federation.scored import Laid, laid_over, score_of, scored
from hanse.federation.snapshot import Snapshot
from hanse.federation.tally import Asked
from hanse.messages import Reason, Task
from hanse.metrics.clustering import ClusteringSums, first_observation, second_observation
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.statistics import FloatArray

__all__ = ["WORK", "clustered", "local_cells", "moments"]

_MORE_CLUSTERS: Final = 6


def moments(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """``count`` (), ``mean`` (d,) and ``m2`` (d,), the sum of squared deviations from the silo's own mean."""
    inner, view = view_of(snapshot, task)
    about, asked = moments_asked(snapshot, view, inner)
    statistics, release = _moments_of(about, judge(asked))
    return Answered(statistics, (), (release,), 1)


def _moments_of(about: FloatArray, release: Release) -> tuple[dict[str, FloatArray], Release]:
    """What was released about the mean of all rows, as moments about the mean of the released ones."""
    found = {name: array[0] for name, array in release.tally.arrays.items()}
    shift = found["sum"] / found["count"]
    m2 = np.maximum(found["m2"] - found["count"] * shift**2, 0.0)
    return {"count": found["count"], "mean": about + shift, "m2": m2}, release


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
    inner, view = view_of(snapshot, task)
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
    return Asked(snapshot, view, Observation(aggregates, (), cell, count), inner, far=far_names(task.features))


def observe(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """The statistics of the estimator's ``observe(state)``, in the plan's shapes; joined cells are 0 and told so."""
    asked = observed(task.model_type, task.options, task.state, len(task.features))
    if asked.weight is not None:
        raise RefusalError("protocol", "weight_col: rows weigh the same in a model over silos")
    inner, view = view_of(snapshot, task, asked.label)
    observation = asked.observation
    cells = 1 if observation.cell is None else observation.cells
    if cells > policy.max_clusters:
        raise RefusalError(
            "policy", f"the plan has {cells} cells: max_clusters = {policy.max_clusters} here; use SPLIT_STARTS = 1"
        )
    classes = snapshot.classes(asked.label) if asked.label else ()
    question = Asked(
        snapshot, view, observation, inner, classes=classes, far=far_names(task.features), texts=asked.texts
    )
    release = judge(question)
    arrays = release.tally.arrays
    if observation.cell is None:
        arrays = {name: array[0] for name, array in arrays.items()}
    return Answered(arrays, release.reasons(), (release,), int((release.tally.customers > 0).sum()))


def evaluate(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """What the measures of the model's family are made of, in two phases; phase ``scores``: rows by anomaly score."""
    laid = laid_over(snapshot, task.payload.get("artifact"), task.features, policy.model_types)
    if task.payload.get("phase") == "scores":
        return _score_histogram(snapshot, laid, policy, judge)
    return _EVALUATE[laid.model.family](snapshot, laid, task, policy, judge)


def _evaluate_clustering(snapshot: Snapshot, laid: Laid, task: Task, policy: Policy, judge: Judge) -> Answered:
    """Phase 1: ``count``, ``sum``, ``square`` by cluster; phase 2: ``silhouette``, ``inertia``, ``distance`` (held,).

    Rows of a cluster that may not leave are labelled with the nearest one here, in both phases.
    """
    model = scored(laid, policy.max_clusters)
    inner = list(model.columns)
    view = snapshot.view({**model.columns, **far_columns(snapshot, task.features), "plan_label": model.label})
    first = Asked(
        snapshot, view, first_observation(inner, "label", model.origins), inner, "label", far=far_names(task.features)
    )
    phase = task.payload.get("phase", 1)
    release = judge(first)
    if phase == 1:
        return Answered(release.tally.arrays, release.reasons(), (release,), int((release.tally.customers > 0).sum()))
    if phase != 2:
        raise RefusalError("protocol", f"phase = {phase!r:.40}: need 1, 2 or 'scores'")
    sums = _sums(task.payload.get("sums"), model.origins)
    if np.any((sums.count <= 0) & (release.tally.customers > 0)):
        raise RefusalError("protocol", "the sums of phase 1 do not hold this silo's clusters")
    observation = joined_label(second_observation(inner, "label", sums), release.mapping)
    second = judge(Asked(snapshot, view, observation, inner, far=far_names(task.features)))
    arrays = {name: array[0] for name, array in second.tally.arrays.items()}
    return Answered(arrays, release.reasons(), (release, second), 1 + int((release.tally.customers > 0).sum()))


def _evaluate_distribution(snapshot: Snapshot, laid: Laid, task: Task, policy: Policy, judge: Judge) -> Answered:
    """``count`` (), ``mean`` () and ``m2`` () of the scores: sum of squared deviations from the silo's own mean."""
    columns = {f"f{i}": value for i, value in enumerate(laid.features)}
    view = snapshot.view({**columns, "score": list(laid.outputs.values())[-1]})
    about, asked = moments_asked(snapshot, view, ["score"])
    statistics, release = _moments_of(about, judge(asked))
    return Answered({name: array.reshape(()) for name, array in statistics.items()}, (), (release,), 1)


def _score_histogram(snapshot: Snapshot, laid: Laid, policy: Policy, judge: Judge) -> Answered:
    """``count`` (held,), rows by anomaly score; cells that may not leave, or hold nobody, join the nearest one."""
    cells = len(EDGES) + 1
    if cells > policy.max_clusters:
        what = f"a histogram of scores has {cells} cells"
        raise RefusalError("policy", f"{what}: max_clusters = {policy.max_clusters} here")
    view = snapshot.view({"score": score_of(laid)})
    counted = Observation({"count": Aggregate((e.number(1.0),))}, (), edge_cell(e.column("score")), cells)
    release = judge(Asked(snapshot, view, counted, ["score"]))
    held = np.flatnonzero(release.tally.customers > 0)
    numbers = tuple(max(int(np.searchsorted(held, j, side="right")) - 1, 0) for j in release.mapping)
    reasons = () if len(held) == cells else (Reason(code="merged", cells=numbers),)
    return Answered({"count": release.tally.arrays["count"][held]}, reasons, (release,), len(held))


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
    ours, theirs = (
        scored(laid_over(snapshot, task.payload.get(which), task.features, policy.model_types), policy.max_clusters)
        for which in ("local", "artifact")
    )
    columns = {f"l{name}": value for name, value in ours.columns.items()}
    view = snapshot.view({**theirs.columns, **columns, "ours": ours.label, "theirs": theirs.label})
    k_local, k_global = len(ours.origins), len(theirs.origins)
    cell = e.add(e.multiply(e.column("ours"), e.integer(k_global)), e.column("theirs"))
    counted = Observation({"count": Aggregate((e.number(1.0),))}, (), cell, k_local * k_global)
    release = judge(Asked(snapshot, view, counted, list(theirs.columns)))
    table = release.tally.arrays["count"].reshape(k_local, k_global)
    cells = int((release.tally.customers > 0).sum())
    return Answered({"contingency": table}, release.reasons(), (release,), cells)


_EVALUATE: Final[Mapping[Family, Callable[[Snapshot, Laid, Task, Policy, Judge], Answered]]] = {
    "clustering": _evaluate_clustering,
    "classification": evaluate_classifier,
    "distribution": _evaluate_distribution,
}

WORK: Final[Mapping[str, Work]] = {
    "moments": moments,
    "summarize": summarize,
    "fit": fit,
    "observe": observe,
    "evaluate": evaluate,
    "compare": compare,
}
"""The kinds of tasks that release statistics."""


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
