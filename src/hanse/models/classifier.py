"""What every classifier of labels 0 and 1 has beside its predictions: a label's name, and a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard

from hanse.estimator import Model
from hanse.expressions import Expression

__all__ = ["Classifier", "is_classifier"]


class Classifier(Model, Protocol):
    """A model that tells label 1 from label 0."""

    @property
    def label(self) -> str:
        """The column that it predicts."""
        ...

    def score(self, features: Sequence[Expression]) -> Expression:
        """What grows with the probability of label 1, and is above 0 where label 1 is predicted."""
        ...


def is_classifier(model: Model) -> TypeGuard[Classifier]:
    """Whether a model tells labels apart."""
    return model.family == "classification"
