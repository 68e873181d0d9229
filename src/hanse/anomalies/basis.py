"""What an artifact keeps so that its model can score: found at training, or told with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hanse import expressions as e
from hanse.anomalies.profile import Clustering, ClusterProfile, profile_of, spread_observation, spreads_of
from hanse.anomalies.quantiles import ScoreQuantiles, histogram, quantiles_of
from hanse.anomalies.score import ORDINARY_SHARE, ClusterScoring, OwnScoring, Scoring
from hanse.errors import ArtifactError
from hanse.estimator import Holder, Model
from hanse.models.clusters import is_clustering
from hanse.statistics import FloatArray
from hanse.types import JsonValue

__all__ = ["ScoreBasis", "fit_basis"]


@dataclass(frozen=True)
class ScoreBasis:
    """What scoring knows beside the model itself.

    Args:
        profile: of a clustering's training rows.
        quantiles: of their scores.
        ordinary: the clusters that those scores were taken against.
    """

    profile: ClusterProfile | None = None
    quantiles: ScoreQuantiles | None = None
    ordinary: tuple[int, ...] = ()

    def coarse(self) -> ScoreBasis:
        """As it may travel to a silo; it is what it was when it is coarse already."""
        return replace(self, profile=None if self.profile is None else self.profile.coarse())

    def to_json(self) -> dict[str, JsonValue]:
        """Plain data."""
        data: dict[str, JsonValue] = {}
        if self.profile is not None:
            data["clusters"] = self.profile.to_json()
        if self.quantiles is not None:
            data["quantiles"] = self.quantiles.to_json()
            data["ordinary"] = list(self.ordinary)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], model: Any) -> ScoreBasis:
        """Read back what :meth:`to_json` wrote.

        Args:
            data: plain data; empty for a model that was trained before there were scores.
            model: that it belongs to.

        Raises:
            ArtifactError: a field is missing or wrong.
        """
        clusters = getattr(model, "clusters", ())
        profile = quantiles = None
        try:
            if "clusters" in data:
                profile = ClusterProfile.from_json(data["clusters"], len(clusters), len(model.features))
            if "quantiles" in data:
                quantiles = ScoreQuantiles.from_json(data["quantiles"])
            ordinary = tuple(int(i) for i in data.get("ordinary", ()))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"scoring: {error!r} is missing or wrong") from error
        return cls(profile, quantiles, ordinary)


def fit_basis(
    model: Model, features: Sequence[str], holder: Holder, sample: Holder | None = None, *, weighted: bool
) -> ScoreBasis:
    """What scores need: the clusters' spread, and a sketch of the training rows' scores.

    One scan for the spread, where training has not found it on its way, and a second one, where it needs more digits;
    one scan for the scores.

    Args:
        model: that was trained.
        features: the columns of the training rows.
        holder: observes the training rows.
        sample: observes enough of them for quantiles; all without it.
        weighted: whether they have weights.

    Returns:
        nothing for a model that gives no scores.
    """
    profile = None
    if hasattr(model, "scores"):
        scoring: Scoring = OwnScoring(model)
    elif is_clustering(model):
        clustering: Clustering = model  # type: ignore[assignment]  # what has clusters is a clustering
        profile = profile_of(clustering.clusters, _spreads(clustering, features, holder, weighted))
        scoring = ClusterScoring(clustering, profile, min(ORDINARY_SHARE, float(profile.share.max())))
    else:
        return ScoreBasis()
    scored = scoring.over([e.column(f) for f in features])
    total = (sample or holder)(histogram(scored.outputs["anomaly_score"], scored.let, weighted=weighted))
    return ScoreBasis(profile, quantiles_of(total), scoring.ordinary)


def _spreads(model: Clustering, features: Sequence[str], holder: Holder, weighted: bool) -> FloatArray:
    """(k, d) spread of each feature about its cluster's centroid."""
    found = [c.spread for c in model.clusters if c.spread is not None]
    if len(found) == len(model.clusters):
        return np.stack(found)
    spreads = None
    for exact in (False, True):
        if spreads is None:
            observation = spread_observation(model, features, weighted=weighted, exact=exact)
            spreads = spreads_of(model, holder(observation), exact=exact)
    assert spreads is not None  # the exact one always is
    return spreads
