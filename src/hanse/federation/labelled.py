"""Tasks about rows with labels: a local model's coefficients, and how well a model tells the labels apart."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hanse.errors import HanseError
from hanse.estimator import SUPERVISED, TARGET, train
from hanse.federation.asking import Answered, Judge, estimator_for, far_columns, label_of, moments_asked, view_of
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.federation.scored import Laid
from hanse.federation.snapshot import Snapshot
from hanse.federation.tally import Asked
from hanse.messages import Task
from hanse.metrics.classification import histogram_line, histogram_observation, score_observation, whole_groups
from hanse.models.classifier import is_classifier

__all__ = ["evaluate_classifier", "fit"]

_MOST_EDGES: Final = 63


def fit(snapshot: Snapshot, task: Task, policy: Policy, judge: Judge) -> Answered:
    """A model of this silo's rows alone: ``count`` (), ``coefficients`` (d,) and ``intercept`` ().

    Nothing of it leaves unless the moments of the same rows might: enough customers in all and of each label, none of
    whom dominates.
    """
    estimator: Any = estimator_for(task.model_type, task.options)
    if estimator.family not in SUPERVISED:
        raise RefusalError("protocol", f"a model of type {estimator.model_type} has no coefficients: ask summarize")
    if estimator.weight_col is not None:
        raise RefusalError("protocol", "weight_col: rows weigh the same in a local model")
    label = label_of(estimator)
    inner, view = view_of(snapshot, task, label)
    _, asked = moments_asked(snapshot, view, inner, snapshot.classes(label))
    release = judge(asked)
    try:
        trained = train(estimator, inner, [lambda o: snapshot.engine.observe(view, o)])
    except HanseError as error:
        raise RefusalError("data", "no model can be trained here", detail=str(error), status="failed") from None
    for remark in estimator.remarks(trained.numbers):
        text = "a local model has no finite optimum, or did not reach it: set REG_PARAM or raise MAX_ITER"
        raise RefusalError("data", text, detail=remark, status="failed")
    model: Any = trained.model
    statistics = {
        "count": release.tally.arrays["count"][0],
        "coefficients": model.coefficients,
        "intercept": np.array(model.intercept),
    }
    return Answered(statistics, (), (release,), 1)


def evaluate_classifier(snapshot: Snapshot, laid: Laid, task: Task, policy: Policy, judge: Judge) -> Answered:
    """Phase 1: ``count``, ``sum`` and ``square`` (2,) of scores by label; phase 2: ``count`` (2, b), by score, too.

    The edges of the score's bins come with phase 2, so that all silos' histograms add up. Bins of too few customers are
    joined with their neighbour of the same label.
    """
    if not is_classifier(laid.model):
        raise RefusalError("artifact", "the model of the task tells no labels apart")
    classes = snapshot.classes(laid.model.label)
    columns = {f"f{i}": value for i, value in enumerate(laid.features)}
    scores = {"score": laid.model.score(laid.features), TARGET: snapshot.column(laid.model.label)}
    far = far_columns(snapshot, task.features)
    view = snapshot.view({**columns, **scores, **far})
    phase = task.payload.get("phase", 1)
    if phase == 1:
        observation = score_observation("score", TARGET)
        release = judge(Asked(snapshot, view, observation, list(columns), classes=classes, far=tuple(far)))
        if release.merged:
            raise RefusalError(release.causes[0], "the scores of one label may not leave", lasting=True)
        return Answered(release.tally.arrays, (), (release,), 2)
    if phase != 2:
        raise RefusalError("protocol", f"phase = {phase!r:.40}: need 1 or 2")
    edges = _edges(task.payload.get("edges"))
    observation = histogram_observation("score", TARGET, edges)
    line = histogram_line(edges)
    asked = Asked(snapshot, view, observation, list(columns), classes=classes, line=line)
    release = judge(asked)
    bins = len(edges) + 1
    if any(i // bins != j // bins for i, j in enumerate(release.mapping)):
        text = "rows of both labels would be counted together, so that earlier answers stay safe: nothing leaves"
        raise RefusalError("complementary", text, lasting=True)
    count = release.tally.arrays["count"].reshape(2, bins)
    held = np.bincount(asked.labels, minlength=2 * bins) > 0
    reasons = release.reasons(whole_groups(release.mapping, held.tolist(), edges))
    return Answered({"count": count}, reasons, (release,), int((release.tally.customers > 0).sum()))


def _edges(data: Any) -> list[float]:
    numbers = isinstance(data, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in data)
    if not numbers or not 1 <= len(data) <= _MOST_EDGES or not np.all(np.isfinite(data)):
        raise RefusalError("protocol", f"edges: need 1 to {_MOST_EDGES} finite numbers")
    if 0.0 not in data or sorted(set(data)) != data:
        raise RefusalError("protocol", "edges: need ascending numbers, 0 among them")
    return [float(x) for x in data]
