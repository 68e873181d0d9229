"""What a federated training is to do: names and numbers, made of a statement before anybody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hanse.estimator import Estimator, Family
from hanse.messages import Strategy
from hanse.options import OneOf, Range, option
from hanse.statistics import FloatArray

__all__ = ["FederatedOptions", "Plan", "Scaler"]

_WEEK_S: Final = 7 * 24 * 3600


@dataclass(frozen=True)
class FederatedOptions:
    """The options of CREATE FEDERATED MODEL that are not the estimator's."""

    strategy: str = option("one_shot", OneOf("one_shot", "rounds", "article"), "what leaves the silos, and how often")
    local_clusters: int = option(3, Range(int, 1), "one_shot, article: clusters that each silo summarises into")
    min_customers: int = option(10, Range(int, 3), "customers per released cell; a silo's stricter policy holds")
    quorum: int = option(0, Range(int, 0), "silos that must answer; 0: all of them")
    timeout: float = option(
        30.0, Range(float, 0, _WEEK_S, open_low=True), "seconds that a silo has to answer a round, at most a week"
    )


@dataclass(frozen=True)
class Scaler:
    """standard_scaler, fitted on the moments of all silos.

    Args:
        mean: (d,) in feature units.
        deviation: (d,) sample standard deviations; 0 for a constant feature.
        with_mean: whether the mean is subtracted.
        with_std: whether the deviation is divided by.
    """

    mean: FloatArray
    deviation: FloatArray
    with_mean: bool
    with_std: bool

    def to_plain(self) -> dict[str, Any]:
        """What a silo needs to scale its rows."""
        d = len(self.mean)
        mean = self.mean if self.with_mean else np.zeros(d)
        deviation = self.deviation if self.with_std else np.ones(d)
        return {"mean": mean.tolist(), "deviation": deviation.tolist()}


@dataclass(frozen=True)
class Plan:
    """One federated training.

    Args:
        model: the global model's name.
        relation: the published relation.
        features: its columns that are learnt from.
        silos: who takes part, in the statement's order.
        estimator: what is trained.
        estimator_options: its options as plain data.
        options: the federated ones.
        scales: whether features are standardised over all silos first; ``(with_std, with_mean)``.
        label: the column that is learnt to be predicted; empty for none.
        remarks: what the person who asked should know of it.
    """

    model: str
    relation: str
    features: tuple[str, ...]
    silos: tuple[str, ...]
    estimator: Estimator[Any]
    estimator_options: Mapping[str, Any]
    options: FederatedOptions = field(default_factory=FederatedOptions)
    scales: tuple[bool, bool] | None = None
    label: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        """What the model does with a row."""
        return self.estimator.family

    @property
    def columns(self) -> tuple[str, ...]:
        """What each silo must publish."""
        return (*self.features, self.label) if self.label else self.features

    @property
    def strategy(self) -> Strategy:
        """The strategy, as messages name it."""
        return self.options.strategy  # type: ignore[return-value]  # the option's check allows these only

    @property
    def quorum(self) -> int:
        """How many silos must answer."""
        return self.options.quorum or len(self.silos)
