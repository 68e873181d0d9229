"""A model that came over the wire, laid over a snapshot: its inputs and its labels as expressions, made of own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from hanse import expressions as e
from hanse.anomalies.basis import ScoreBasis
from hanse.anomalies.score import ClusterScoring, OwnScoring, scoring_of
from hanse.artifact import Artifact
from hanse.errors import HanseError
from hanse.estimator import Model
from hanse.federation.refusals import RefusalError
from hanse.federation.snapshot import Snapshot
from hanse.models.catalog import model_from_json
from hanse.models.clusters import is_clustering
from hanse.statistics import FloatArray
from hanse.transforms.base import Column, Element
from hanse.transforms.chain import Chain

__all__ = ["Laid", "Scored", "artifact_of", "laid_over", "score_of", "scored"]


@dataclass(frozen=True)
class Laid:
    """Any model over a snapshot's rows.

    Args:
        model: read back.
        features: what it reads, in order.
        outputs: what it predicts.
        basis: what the artifact tells for scores.
    """

    model: Model
    features: tuple[e.Expression, ...]
    outputs: Mapping[str, e.Expression]
    basis: ScoreBasis


@dataclass(frozen=True)
class Scored:
    """A clustering over a snapshot's rows.

    Args:
        columns: ``f0``, ``f1`` ...: what it clusters by.
        label: the cluster's number.
        origins: (k, d) the centroids.
    """

    columns: Mapping[str, e.Expression]
    label: e.Expression
    origins: FloatArray


def artifact_of(data: Any) -> Artifact:
    """Plain data as an artifact, read strictly.

    Raises:
        RefusalError: it is none.
    """
    try:
        return Artifact.from_json(msgspec.json.encode(data), where="the model of the task")
    except (HanseError, TypeError, ValueError) as error:
        raise RefusalError("artifact", "the model of the task cannot be read", detail=str(error)) from None


def laid_over(snapshot: Snapshot, data: Any, features: Sequence[str], model_types: Sequence[str]) -> Laid:
    """Lay a model over a snapshot.

    Args:
        snapshot: the rows.
        data: an artifact as plain data.
        features: the published columns that the task names.
        model_types: that the policy allows.

    Raises:
        RefusalError: it cannot be read, is of another type, or reads columns that the task does not name.
    """
    artifact = artifact_of(data)
    if artifact.model_type not in model_types:
        types = ", ".join(model_types)
        raise RefusalError("policy", f"model type {artifact.model_type:.60}: this silo allows {types}")
    named = {snapshot.named(f).lower() for f in features}
    base = {name: Column((Element(name, snapshot.column(name), "number", name),)) for name in named}
    try:
        model = model_from_json(artifact.model_type, artifact.model)
        chain = Chain.from_json(artifact.transforms)
        missing = [name for name in chain.inputs if name.lower() not in base]
        if missing:
            raise RefusalError("schema", f"the model reads column {missing[0]}, which the task does not name")
        elements = chain.features(base).elements if chain.steps else _plain(snapshot, features)
        if len(elements) != len(model.features):
            raise RefusalError("artifact", "the model of the task is none of these features")
        expressions = tuple(x.expression for x in elements)
        basis = ScoreBasis.from_json(artifact.scoring, model)
        return Laid(model, expressions, model.predict(expressions), basis)
    except RefusalError:
        raise
    except (HanseError, ValueError, KeyError, IndexError, TypeError) as error:
        raise RefusalError("artifact", "the model of the task cannot be read", detail=str(error)) from None


def score_of(laid: Laid) -> e.Expression:
    """How anomalous a row is, in one expression.

    Raises:
        RefusalError: the model gives no scores, or its artifact does not tell what they need.
    """
    try:
        scoring = scoring_of(laid.model, laid.basis.profile)
    except HanseError as error:
        raise RefusalError("artifact", "the model of the task gives no scores", detail=str(error)) from None
    if isinstance(scoring, OwnScoring):
        return scoring.score(laid.features)
    assert isinstance(scoring, ClusterScoring)  # there is no third kind
    at = list(laid.features)
    if scoring.model.distance_measure == "cosine":
        norm = e.root(e.total(e.square(x) for x in at))
        at = [e.divide(x, e.again(norm)) for x in at]
    return scoring.score(at)


def scored(laid: Laid, max_clusters: int) -> Scored:
    """A clustering over a snapshot.

    Args:
        laid: the model.
        max_clusters: of the policy.

    Raises:
        RefusalError: it is no clustering, or has more clusters than the policy allows.
    """
    model, expressions = laid.model, list(laid.features)
    if not is_clustering(model) or not model.clusters:
        raise RefusalError("artifact", "the model of the task is no clustering")
    if len(model.clusters) > max_clusters:
        text = f"the model has {len(model.clusters)} clusters: max_clusters = {max_clusters} here"
        raise RefusalError("policy", text)
    label = next(iter(laid.outputs.values()))
    if getattr(model, "distance_measure", "euclidean") == "cosine":
        norm = e.root(e.total(e.square(x) for x in expressions))
        expressions = [e.divide(x, e.again(norm)) for x in expressions]
    columns = {f"f{i}": x for i, x in enumerate(expressions)}
    return Scored(columns, label, np.array([c.centroid for c in model.clusters]))


def _plain(snapshot: Snapshot, features: Sequence[str]) -> tuple[Element, ...]:
    return tuple(Element(f, snapshot.column(f)) for f in features)
