"""Customers on a plane: principal components of their standardised features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse.statistics import FloatArray

__all__ = ["Plane", "plane"]

_NAMED_LOADING = 0.4  # a feature below it says little about an axis
_MOST_NAMED = 3


@dataclass(frozen=True)
class Plane:
    """Rows on the two directions of largest variance.

    Args:
        coordinates: (n, 2), in standard deviations of the features.
        share: of all variance, by axis.
        titles: what each axis is made of.
    """

    coordinates: FloatArray
    share: tuple[float, float]
    titles: tuple[str, str]


def plane(rows: FloatArray, weights: FloatArray, names: Sequence[str]) -> Plane | None:
    """Project standardised rows.

    Args:
        rows: (n, d), standardised; 0 is the average customer.
        weights: (n,) how many customers each row stands for.
        names: of the features.

    Returns:
        None where there is no plane: fewer than two rows or features, or no variance.

    Source:
        Jolliffe (2002), "Principal Component Analysis".
    """
    if rows.shape[0] < 2 or rows.shape[1] < 2:
        return None
    whole = weights.sum()
    centre = (weights[:, None] * rows).sum(axis=0) / whole
    away = rows - centre
    covariance = (away * weights[:, None]).T @ away / whole
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    if values.sum() <= 0:
        return None
    axes = vectors[:, :2].T
    largest = np.argmax(np.abs(axes).round(9), axis=1)  # an axis has no direction of its own: its largest part is up
    axes = axes * np.sign(axes[np.arange(2), largest])[:, None]
    shares = values[:2] / values.sum()
    titles = [_title(axis, share, names) for axis, share in zip(axes, shares.tolist(), strict=True)]
    return Plane(away @ axes.T, (float(shares[0]), float(shares[1])), (titles[0], titles[1]))


def _title(axis: FloatArray, share: float, names: Sequence[str]) -> str:
    """What an axis is made of, as ``total_orders and customer_lifetime up, recency down``."""
    size = np.abs(axis).round(9)  # of equal parts the first is named first, whatever rounding says
    order = [int(i) for i in np.argsort(-size, kind="stable") if size[i] >= _NAMED_LOADING]
    order = order[:_MOST_NAMED] or [int(np.argmax(size))]
    signs = [f"{'more' if axis[i] > 0 else 'less'} {names[i]}" for i in order]
    return ", ".join(signs)
