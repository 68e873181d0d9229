"""What every clustering begins with: counts, sums and the spread of rows, checked."""

from __future__ import annotations

import numpy as np

from hanse.errors import DataError
from hanse.statistics import FloatArray

__all__ = ["check_counts", "covariance_of", "far_off"]


def check_counts(count: float, weight: float, num_clusters: int, weight_col: str | None) -> None:
    """Refuse to train where rows or their weight are not enough.

    Args:
        count: rows.
        weight: the sum of their weights.
        num_clusters: how many clusters are wanted.
        weight_col: named in errors.

    Raises:
        DataError: there are no rows, fewer than clusters, or none with a weight.
    """
    if count == 0:
        raise DataError("the SELECT gives no rows: there is nothing to train on")
    if weight <= 0:
        raise DataError(f"weight column {weight_col}: the weights sum to {weight:g}; need more than 0")
    if count < num_clusters:
        raise DataError(
            f"NUM_CLUSTERS = {num_clusters}: the SELECT gives {count:.0f} row{'s' if count != 1 else ''}; "
            "need at least as many rows as clusters"
        )


def covariance_of(weight: float, sums: FloatArray, cross: FloatArray) -> FloatArray:
    """The covariance (d, d) of rows.

    Args:
        weight: of the rows.
        sums: (d,) weighted, about an origin near the rows.
        cross: (d (d + 1) / 2,) the upper triangle of the weighted sum of outer products, about the same origin.
    """
    d = len(sums)
    mean = sums / weight
    covariance = np.zeros((d, d))
    covariance[np.triu_indices(d)] = cross / weight
    return np.asarray(covariance + np.triu(covariance, 1).T - np.outer(mean, mean))


_FAR_SD = 10.0
"""A mean so many standard deviations off the origin costs two of the sixteen digits of a sum of squares."""


def far_off(mean: FloatArray, covariance: FloatArray) -> bool:
    """Whether the origin is too far from the rows, so that sums should be taken again about their mean.

    Args:
        mean: (d,) about the origin.
        covariance: (d, d).
    """
    return bool(np.any(mean**2 > _FAR_SD**2 * np.maximum(np.diag(covariance), 0.0)))
