"""Contenders that evaluate the same clusters: Hanse, NumPy with scikit-learn, and MLlib."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.data import columns
from benchmarks.spark_session import few_and_all, java_peak_bytes, start
from benchmarks.trainers import create_model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    import hanse

__all__ = ["STATEMENT", "closed_form_silhouette", "count_scans", "hanse_evaluate", "label", "mllib_evaluate"]
__all__ += ["numpy_evaluate", "sklearn_silhouette"]

STATEMENT = "SELECT * FROM model_evaluate(m, 1, SELECT * FROM points)"
_READS = ("points", "hanse_rows_")


def label(workspace: str, labels: str, parquet: str) -> dict[str, Any]:
    """Train model ``m``, and write each row's cluster for the others: an array, and Parquet with the rows."""
    import numpy as np
    import pyarrow.parquet as pq

    import hanse

    with hanse.connect(workspace) as session:
        session.sql(create_model(len(columns()), 3, 0, "points"))
        predicted = session.sql("SELECT * FROM model_predict(m, 1, SELECT * FROM points)").arrow()
    np.save(labels, predicted["prediction"].to_numpy())
    pq.write_table(predicted, parquet)
    return {}


def hanse_evaluate(workspace: str) -> dict[str, Any]:
    """Time the statement; once before it does the imports."""
    import hanse

    with hanse.connect(workspace) as session:
        session.sql(STATEMENT).fetchall()
        started = time.perf_counter()
        result = session.sql(STATEMENT)
        (row,) = result.fetchall()
        timed_s = time.perf_counter() - started
    found = dict(zip(result.columns, row, strict=True))
    return {"timed_s": timed_s, "silhouette": found["silhouette"], "davies_bouldin": found["davies_bouldin"]}


def count_scans(workspace: str) -> dict[str, Any]:
    """How many statements read the rows or the features made of them, as the engine is asked."""
    import hanse

    with hanse.connect(workspace) as session:
        return {"scans": _scans(session)}


def _scans(session: hanse.Session) -> int:
    asked: list[str] = []
    engine: Any = session.engine
    for verb in ("execute", "rows", "query", "observe"):
        original = getattr(engine, verb)

        def counting(what: str, *more: Any, original: Any = original) -> Any:
            asked.append(what)
            return original(what, *more)

        setattr(engine, verb, counting)
    session.sql(STATEMENT).fetchall()
    return sum(1 for what in asked if any(r in what for r in _READS) and not what.startswith(("DESCRIBE", "DROP")))


def numpy_evaluate(array: str, labels: str) -> dict[str, Any]:
    """Time scikit-learn's Davies-Bouldin index and a closed-form silhouette in NumPy, of arrays in memory."""
    import numpy as np
    from sklearn.metrics import davies_bouldin_score

    rows, clusters = np.load(array), np.load(labels)
    timed_s = index = silhouette = 0.0
    for _ in range(2):  # the first does not count
        started = time.perf_counter()
        index = float(davies_bouldin_score(rows, clusters))
        silhouette = closed_form_silhouette(rows, clusters)
        timed_s = time.perf_counter() - started
    return {"timed_s": timed_s, "silhouette": silhouette, "davies_bouldin": index}


def sklearn_silhouette(array: str, labels: str, sample: int) -> dict[str, Any]:
    """scikit-learn's own silhouette, of all pairs of some rows, and the closed form's of the same rows."""
    import numpy as np
    from sklearn.metrics import silhouette_score

    rows, clusters = np.load(array), np.load(labels)
    part = np.random.default_rng(0).permutation(len(rows))[:sample]
    started = time.perf_counter()
    exact = float(silhouette_score(rows[part], clusters[part], metric="sqeuclidean"))
    timed_s = time.perf_counter() - started
    return {"timed_s": timed_s, "silhouette": exact, "closed": closed_form_silhouette(rows[part], clusters[part])}


def closed_form_silhouette(rows: npt.NDArray[np.float64], labels: npt.NDArray[np.int32]) -> float:
    """Mean silhouette under squared Euclidean distance from each cluster's count, sum and sum of squares."""
    import numpy as np

    groups = [rows[labels == label] for label in range(int(labels.max()) + 1)]
    counts = np.array([len(g) for g in groups], dtype=np.float64)
    sums = np.array([g.sum(axis=0) for g in groups])
    squares = np.array([(g * g).sum() for g in groups])
    lengths = (rows * rows).sum(axis=1)
    apart = counts * lengths[:, None] + squares - 2.0 * rows @ sums.T
    here = np.arange(len(rows))
    own = apart[here, labels] / np.maximum(counts[labels] - 1.0, 1.0)
    apart /= counts
    apart[here, labels] = np.inf
    other = apart.min(axis=1)
    return float(np.where(counts[labels] > 1.0, (other - own) / np.maximum(own, other), 0.0).mean())


def mllib_evaluate(parquet: str, scratch: str) -> dict[str, Any]:
    """Time ClusteringEvaluator over cached vectors; of fewer rows before it warms Java up."""
    from pyspark.ml.evaluation import ClusteringEvaluator
    from pyspark.ml.feature import VectorAssembler

    spark = start(scratch)
    assembled = VectorAssembler(inputCols=columns(), outputCol="features").transform(spark.read.parquet(parquet))
    rows = few_and_all(assembled.select("features", "prediction"))
    evaluator = ClusteringEvaluator()
    evaluator.evaluate(rows["few"])
    started = time.perf_counter()
    silhouette = float(evaluator.evaluate(rows["points"]))
    timed_s, peak_bytes = time.perf_counter() - started, java_peak_bytes()
    spark.stop()
    return {"timed_s": timed_s, "silhouette": silhouette, "java_peak_bytes": peak_bytes}
