"""Rows whose anomalies are known: public sets and generators that come in packages, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]
    Labelled = tuple[Rows, Rows]

__all__ = ["WHAT", "labelled_sets", "parted"]

WHAT = {
    "breast cancer": "scikit-learn's; benign, and malignant as 5 %",
    "wine": "scikit-learn's; cultivars 1 and 2, and cultivar 0 as 7 %",
    "iris, setosa": "scikit-learn's; the two other kinds, and setosa as 8 %",
    "iris, virginica": "scikit-learn's; the two other kinds, and virginica as 8 %",
    "digits, 0": "scikit-learn's, 4 x 4 pixels; nine digits, and 0 as 3 %",
    "digits, 4": "scikit-learn's, 4 x 4 pixels; nine digits, and 4 as 3 %",
    "digits, all but 0": "scikit-learn's, 4 x 4 pixels; the digit 0, and all others as 5 %",
    "blobs": "scikit-learn's `make_blobs`, four of them in four dimensions; 5 % uniform noise",
    "uneven blobs": "scikit-learn's `make_blobs`, three of unlike width in two dimensions; 5 % uniform noise",
    "moons": "scikit-learn's `make_moons`; 5 % uniform noise",
    "classes": "scikit-learn's `make_classification`, ten features; one class, and the other as 5 %",
    "broken rules": "six correlated features; 5 % of the rows take each value from another row",
    "one cluster": "PyOD's `generate_data`, five features, 5 %",
    "clusters": "PyOD's `generate_data_clusters`, four alike in four dimensions, 5 %",
    "unlike clusters": "PyOD's `generate_data_clusters`, four of unlike size and density in four dimensions, 5 %",
}
"""The sets by name, and what they are."""

_ROWS = 1000


def labelled_sets(seed: int) -> Iterator[tuple[str, Rows, Rows]]:
    """Name, rows (n, d) and labels (n,), 1 for an anomaly; which anomalies are taken and what is made depend on it."""
    makers = [*_LOADED.items(), *_MADE.items(), *(_PYOD.items() if find_spec("pyod") else ())]
    for name, make in makers:
        rows, labels = make(seed)
        yield name, rows, labels


def parted(rows: Rows, labels: Rows, seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows to train on (60 %), rows to score and their labels; in standard deviations of those to train on."""
    from sklearn.model_selection import train_test_split

    train, test, _, wanted = train_test_split(rows, labels, test_size=0.4, stratify=labels, random_state=seed)
    deviation = train.std(axis=0)
    deviation[deviation == 0] = 1.0
    return (train - train.mean(axis=0)) / deviation, (test - train.mean(axis=0)) / deviation, wanted


def _rare(loader: str, ordinary: Sequence[int], odd: Sequence[int], share: float) -> Callable[[int], Labelled]:
    """A set of classes, some of which are made rare."""

    def make(seed: int) -> Labelled:
        from sklearn import datasets

        rows, classes = getattr(datasets, loader)(return_X_y=True)
        if loader == "load_digits":  # 8 x 8 pixels, many of which never change
            rows = rows.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
        return _thinned(rows, classes, ordinary, odd, share, seed)

    return make


def _thinned(
    rows: Rows, classes: Any, ordinary: Sequence[int], odd: Sequence[int], share: float, seed: int
) -> Labelled:
    import numpy as np

    usual, unusual = rows[np.isin(classes, ordinary)], rows[np.isin(classes, odd)]
    kept = max(8, round(share * len(usual) / (1 - share)))
    unusual = unusual[np.random.default_rng(seed).permutation(len(unusual))[:kept]]
    return np.vstack([usual, unusual]), np.repeat([0.0, 1.0], [len(usual), len(unusual)])


def _noisy(rows: Rows, seed: int) -> Labelled:
    """Rows with uniform noise over a box half as wide again as theirs."""
    import numpy as np

    low, high = rows.min(axis=0), rows.max(axis=0)
    margin = (high - low) / 4
    noise = np.random.default_rng(seed).uniform(low - margin, high + margin, (len(rows) // 20, rows.shape[1]))
    return np.vstack([rows, noise]), np.repeat([0.0, 1.0], [len(rows), len(noise)])


def _blobs(seed: int) -> Labelled:
    from sklearn.datasets import make_blobs

    return _noisy(make_blobs(_ROWS, n_features=4, centers=4, random_state=seed)[0], seed)


def _uneven(seed: int) -> Labelled:
    from sklearn.datasets import make_blobs

    return _noisy(make_blobs(_ROWS, centers=3, cluster_std=[0.5, 1.5, 0.3], random_state=seed)[0], seed)


def _moons(seed: int) -> Labelled:
    from sklearn.datasets import make_moons

    return _noisy(make_moons(_ROWS, noise=0.05, random_state=seed)[0], seed)


def _classes(seed: int) -> Labelled:
    from sklearn.datasets import make_classification

    made = make_classification(2 * _ROWS, n_features=10, n_informative=6, n_clusters_per_class=2, random_state=seed)
    return _thinned(*made, [0], [1], 0.05, seed)


def _broken(seed: int) -> Labelled:
    import numpy as np

    random = np.random.default_rng(seed)
    rows = random.normal(size=(_ROWS, 6)) @ random.normal(size=(6, 6))
    broken = np.column_stack([random.permutation(column)[: _ROWS // 20] for column in rows.T])
    return np.vstack([rows, broken]), np.repeat([0.0, 1.0], [len(rows), len(broken)])


def _one_cluster(seed: int) -> Labelled:
    from pyod.utils.data import generate_data

    rows, _, labels, _ = generate_data(_ROWS, 10, n_features=5, contamination=0.05, random_state=seed)
    return rows, labels


def _clusters(kind: str) -> Callable[[int], Labelled]:
    def make(seed: int) -> Labelled:
        from pyod.utils.data import generate_data_clusters

        rows, _, labels, _ = generate_data_clusters(
            _ROWS, 10, n_clusters=4, n_features=4, contamination=0.05, size=kind, density=kind, random_state=seed
        )
        return rows, labels

    return make


_LOADED: dict[str, Callable[[int], Labelled]] = {
    "breast cancer": _rare("load_breast_cancer", [1], [0], 0.05),
    "wine": _rare("load_wine", [1, 2], [0], 0.07),
    "iris, setosa": _rare("load_iris", [1, 2], [0], 0.08),
    "iris, virginica": _rare("load_iris", [0, 1], [2], 0.08),
    "digits, 0": _rare("load_digits", range(1, 10), [0], 0.03),
    "digits, 4": _rare("load_digits", [0, 1, 2, 3, 5, 6, 7, 8, 9], [4], 0.03),
    "digits, all but 0": _rare("load_digits", [0], range(1, 10), 0.05),
}
_MADE: dict[str, Callable[[int], Labelled]] = {
    "blobs": _blobs,
    "uneven blobs": _uneven,
    "moons": _moons,
    "classes": _classes,
    "broken rules": _broken,
}
_PYOD: dict[str, Callable[[int], Labelled]] = {
    "one cluster": _one_cluster,
    "clusters": _clusters("same"),
    "unlike clusters": _clusters("different"),
}
