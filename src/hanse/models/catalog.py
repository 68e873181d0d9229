"""Every model type that Hanse trains, and those that it only knows by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hanse.errors import ArtifactError, BindError, Position, UnsupportedError, nearest
from hanse.estimator import Estimator, Model
from hanse.models.bisecting_kmeans import BisectingKMeans
from hanse.models.bisecting_model import BisectingModel
from hanse.models.ecod import Ecod
from hanse.models.ecod_model import EcodModel
from hanse.models.kmeans import KMeans
from hanse.models.kmeans_model import KMeansModel
from hanse.models.logistic_model import LogisticModel
from hanse.models.logistic_regression import LogisticRegression
from hanse.models.mahalanobis import Mahalanobis
from hanse.models.mahalanobis_model import MahalanobisModel
from hanse.options import Given, build

__all__ = ["ESTIMATORS", "KNOWN", "MODELS", "estimator_of", "for_rounds", "model_from_json"]

ESTIMATORS: tuple[type[Any], ...] = (BisectingKMeans, KMeans, LogisticRegression, Mahalanobis, Ecod)
MODELS: tuple[type[Any], ...] = (BisectingModel, KMeansModel, LogisticModel, MahalanobisModel, EcodModel)

_BINS_OVER_SILOS = 16

KNOWN = (
    "decision_tree_classifier",
    "decision_tree_regression",
    "factorization_machines_classifier",
    "factorization_machines_regression",
    "gaussian_mixture",
    "generalized_linear_reg",
    "gradient_boosted_tree_classifier",
    "gradient_boosted_tree_regression",
    "isotonic_regression",
    "lda",
    "linear_reg",
    "linear_svc_classifier",
    "multilayer_perceptron_classifier",
    "naive_bayes_classifier",
    "random_forest_classifier",
    "random_forest_regression",
    "survival_regression",
)
"""Model types of the reference dialect that parse and are not trained yet."""


def estimator_of(options: Iterable[Given], position: Position | None) -> Estimator[Any]:
    """The estimator that OPTIONS describe.

    Args:
        options: with canonical keys, MODEL_TYPE among them.
        position: of the statement, for an error without a better place.

    Raises:
        BindError: no or an unknown MODEL_TYPE, an unknown option, a value that does not fit.
        UnsupportedError: a type that Hanse does not train yet.
    """
    given = list(options)
    kinds = {kind.model_type: kind for kind in ESTIMATORS}
    chosen = next((g for g in given if g.key == "MODEL_TYPE"), None)
    if chosen is None:
        cure = f"add OPTIONS (MODEL_TYPE = 'bisecting_kmeans', ...); types: {', '.join(sorted(kinds))}"
        raise BindError("no MODEL_TYPE", cure, position)
    name = str(chosen.value).lower()
    if name in KNOWN:
        cure = f"Hanse knows this type and does not train it yet; it trains {', '.join(sorted(kinds))}"
        raise UnsupportedError(f"MODEL_TYPE = '{name}'", cure, chosen.value_position)
    if name not in kinds:
        what = f"unknown MODEL_TYPE = {chosen.value!r}"
        raise BindError(what, nearest(name, [*kinds, *KNOWN]), chosen.value_position)
    estimator: Estimator[Any] = build(kinds[name], (g for g in given if g is not chosen), name)
    return estimator


def model_from_json(model_type: str, data: Mapping[str, Any]) -> Model:
    """Read a model back.

    Raises:
        ArtifactError: the type is unknown, or a field is missing or wrong.
    """
    for kind in MODELS:
        if kind.model_type == model_type:
            model: Model = kind.from_json(data)
            return model
    known = [kind.model_type for kind in MODELS]
    raise ArtifactError(f"model type {model_type!r} is unknown to this Hanse: {nearest(model_type, known)}")


def for_rounds(estimator: Any) -> tuple[Any, Any | None]:
    """The estimator as it trains in rounds over silos, and the one that finds its first centroids, if it needs one.

    A sketch's cells would be too small to leave a silo. Bisecting k-means opens splits with ``split_starts = 1``, which
    needs the covariance of whole clusters only; k-means begins at the centroids of such a bisecting k-means.
    Mahalanobis's distance leaves no row out, since shells of it would be too small; ECOD takes as many bins as a silo
    lets out by default.
    """
    if isinstance(estimator, BisectingKMeans):
        return replace(estimator, split_starts=1), None
    if isinstance(estimator, KMeans):
        seeding = BisectingKMeans(
            num_clusters=estimator.num_clusters,
            distance_measure=estimator.distance_measure,
            weight_col=estimator.weight_col,
            split_starts=1,
        )
        return estimator, seeding
    if isinstance(estimator, Mahalanobis):
        return replace(estimator, trim=0.0), None
    if isinstance(estimator, Ecod):
        return replace(estimator, num_bins=min(estimator.num_bins, _BINS_OVER_SILOS)), None
    return estimator, None
