"""Who looks for anomalies: Hanse's model types in SQL, and the peers from scikit-learn and PyOD."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    import hanse

    Rows = npt.NDArray[np.float64]

__all__ = ["HANSE", "PEERS", "RECOMMENDED", "hanse_scores", "peer_scores"]

RECOMMENDED = "mahalanobis"
"""The one type that is recommended where nothing is known of the data."""

HANSE: dict[str, str] = {
    "bisecting_kmeans": "MODEL_TYPE = 'bisecting_kmeans'",
    "bisecting_kmeans, k = 16": "MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 16",
    "kmeans": "MODEL_TYPE = 'kmeans'",
    "kmeans, k = 16": "MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 16",
    RECOMMENDED: "MODEL_TYPE = 'mahalanobis'",
    "ecod": "MODEL_TYPE = 'ecod'",
}
"""OPTIONS by name; without k a clustering has its default."""


def hanse_scores(session: hanse.Session, options: str, train: Rows, test: Rows, seed: int) -> Rows:
    """Anomaly scores of ``test`` by a model of ``train``, through CREATE MODEL and detect_anomalies."""
    import pyarrow as pa

    names = [f"x{i}" for i in range(train.shape[1])]
    session.register("to_train", pa.table(dict(zip(names, train.T, strict=True))))
    session.register("to_score", pa.table({"number": range(len(test)), **dict(zip(names, test.T, strict=True))}))
    seeded = f", SEED = {seed}" if "kmeans" in options else ""
    session.sql(
        f"CREATE OR REPLACE MODEL detector TRANSFORM (vector_assembler(array({', '.join(names)})) features) "
        f"OPTIONS ({options}{seeded}) AS SELECT * FROM to_train"
    )
    found = session.sql(
        "SELECT number, anomaly_score FROM detect_anomalies(detector, 1, SELECT * FROM to_score) ORDER BY number"
    ).arrow()
    scores: Rows = found["anomaly_score"].to_numpy()
    return scores


def _forest(train: Rows, test: Rows, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def _factor(train: Rows, test: Rows, seed: int) -> Any:
    from sklearn.neighbors import LocalOutlierFactor

    return -LocalOutlierFactor(novelty=True).fit(train).score_samples(test)


def _pyod(module: str, name: str) -> Callable[[Rows, Rows, int], Any]:
    def score(train: Rows, test: Rows, seed: int) -> Any:
        from importlib import import_module

        kind = getattr(import_module(f"pyod.models.{module}"), name)
        given = {"random_state": seed} if name == "CBLOF" else {}
        return kind(**given).fit(train).decision_function(test)

    return score


PEERS: dict[str, Callable[[Rows, Rows, int], Any]] = {
    "IsolationForest": _forest,
    "LocalOutlierFactor": _factor,
    "PyOD ECOD": _pyod("ecod", "ECOD"),
    "PyOD CBLOF": _pyod("cblof", "CBLOF"),
}
"""Each with its defaults."""


def peer_scores(name: str, train: Rows, test: Rows, seed: int) -> Rows | None:
    """Anomaly scores by a peer; None where it is not installed, or gives up on these rows (CBLOF may)."""
    import warnings

    import numpy as np

    if name.startswith("PyOD") and find_spec("pyod") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scores = np.asarray(PEERS[name](train, test, seed), dtype=np.float64)
        except ValueError:
            return None
    return scores if np.all(np.isfinite(scores)) else None
