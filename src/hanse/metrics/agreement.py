"""How well two labelings of the same rows agree, from their contingency table alone.

Source:
    Hubert & Arabie (1985), "Comparing partitions"; Vinh, Epps & Bailey (2010), "Information theoretic measures for
    clusterings comparison", whose expected mutual information is summed exactly here.
"""

from __future__ import annotations

import numpy as np

from hanse.statistics import FloatArray

__all__ = ["adjusted_mutual_information", "adjusted_rand_index", "expected_mutual_information"]

_TAIL_SD = 40.0  # beyond, a hypergeometric distribution holds nothing that a double can show


def adjusted_rand_index(table: FloatArray) -> float:
    """From 1 for the same partition, over 0 for chance agreement, to -0.5.

    Args:
        table: (a, b) rows by both labels.
    """
    n = float(table.sum())
    together = float((table * (table - 1)).sum())
    rows, columns = (float((m * (m - 1)).sum()) for m in (table.sum(axis=1), table.sum(axis=0)))
    expected = rows * columns / max(n * (n - 1), 1.0)
    largest = (rows + columns) / 2
    if rows == columns == together:
        return 1.0
    return float((together - expected) / (largest - expected))


def adjusted_mutual_information(table: FloatArray) -> float:
    """From 1 for the same partition to 0 for chance agreement; normalised by the mean of both entropies.

    Args:
        table: (a, b) rows by both labels.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if np.all((table > 0).sum(axis=0) == 1) and np.all((table > 0).sum(axis=1) == 1):
        return 1.0  # the same partition, where both differences below may be 0
    if 1 in table.shape:
        return 0.0  # one cluster tells nothing
    n = table.sum()
    a, b = table.sum(axis=1), table.sum(axis=0)
    held = table > 0
    joint = table[held]
    outer = np.outer(a, b)[held]
    mutual = float((joint / n * (np.log(joint) + np.log(n) - np.log(outer))).sum())
    expected = expected_mutual_information(a, b)
    mean = (_entropy(a) + _entropy(b)) / 2
    tiny = float(np.finfo(np.float64).eps)
    return (mutual - expected) / max(mean - expected, tiny)


def expected_mutual_information(a: FloatArray, b: FloatArray) -> float:
    """Mean mutual information (nats) of labelings with these cluster sizes, (i,) and (j,), over all permutations.

    The size of a cell follows a hypergeometric distribution; its far tails, which no double shows, are left out.
    """
    from scipy.special import gammaln

    n = float(a.sum())
    total = 0.0
    for x in a:
        for y in b:
            centre = x * y / n
            sd = np.sqrt(centre * (1 - x / n) * (1 - y / n) * n / max(n - 1, 1.0))
            low = max(1.0, x + y - n, np.floor(centre - _TAIL_SD * (sd + 1)))
            high = min(x, y, np.ceil(centre + _TAIL_SD * (sd + 1)))
            cell = np.arange(low, high + 1)
            log_chance = (
                gammaln(x + 1)
                + gammaln(y + 1)
                + gammaln(n - x + 1)
                + gammaln(n - y + 1)
                - gammaln(n + 1)
                - gammaln(cell + 1)
                - gammaln(x - cell + 1)
                - gammaln(y - cell + 1)
                - gammaln(n - x - y + cell + 1)
            )
            gain = cell / n * (np.log(n) + np.log(cell) - np.log(x) - np.log(y))
            total += float((gain * np.exp(log_chance)).sum())
    return total


def _entropy(sizes: FloatArray) -> float:
    share = sizes[sizes > 0] / sizes.sum()
    return float(-(share * np.log(share)).sum())
