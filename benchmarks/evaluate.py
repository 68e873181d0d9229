"""Evaluation: ``model_evaluate`` against scikit-learn's and NumPy's measures of the same labels, and its scans."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench
from benchmarks.data import columns, prepare
from benchmarks.report import Measurement, Table, Target, Timing, seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    import hanse

__all__ = ["measure"]

_STATEMENT = "SELECT * FROM model_evaluate(m, 1, SELECT * FROM points)"
_READS = ("points", "hanse_rows_")


def hanse_evaluate(workspace: str, runs: int, labels: str) -> dict[str, Any]:
    """Time the statement in one session, count its scans, and leave the labels for the others."""
    import numpy as np

    import hanse

    names = ", ".join(columns())
    found = []
    with hanse.connect(workspace) as session:
        session.sql(
            f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({names})) features) "
            f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3) AS SELECT {names} FROM points"
        )
        predicted = session.sql("SELECT prediction FROM model_predict(m, 1, SELECT * FROM points)").arrow()
        np.save(labels, predicted["prediction"].to_numpy())
        session.sql(_STATEMENT).fetchall()
        for _ in range(runs):
            started = time.perf_counter()
            result = session.sql(_STATEMENT)
            (row,) = result.fetchall()
            found.append(time.perf_counter() - started)
        scans = _count_scans(session)
    return {"runs_s": found, "scans": scans, **dict(zip(result.columns, row, strict=True))}


def _count_scans(session: hanse.Session) -> int:
    """How many statements read the rows or the features made of them, as the engine is asked."""
    asked: list[str] = []
    engine: Any = session.engine
    for verb in ("execute", "rows", "query", "observe"):
        original = getattr(engine, verb)

        def counting(what: str, *more: Any, original: Any = original) -> Any:
            asked.append(what)
            return original(what, *more)

        setattr(engine, verb, counting)
    session.sql(_STATEMENT).fetchall()
    return sum(1 for what in asked if any(r in what for r in _READS) and not what.startswith(("DESCRIBE", "DROP")))


def peer_evaluate(array: str, labels: str, runs: int, quadratic_rows: int) -> dict[str, Any]:
    """scikit-learn's Davies-Bouldin index and a closed-form silhouette in NumPy, of arrays in memory."""
    import numpy as np
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    rows, clusters = np.load(array), np.load(labels)
    found = []
    for number in range(runs + 1):
        started = time.perf_counter()
        index = float(davies_bouldin_score(rows, clusters))
        mean = closed_form_silhouette(rows, clusters)
        if number:
            found.append(time.perf_counter() - started)
    part = np.random.default_rng(0).permutation(len(rows))[:quadratic_rows]
    started = time.perf_counter()
    silhouette_score(rows[part], clusters[part], metric="sqeuclidean")
    return {
        "runs_s": found,
        "silhouette": mean,
        "davies_bouldin": index,
        "quadratic_s": time.perf_counter() - started,
    }


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


def measure(bench: Bench) -> Measurement:
    """Scans, time and agreement."""
    size, runs = (100_000, 3) if bench.quick else (1_000_000, 5)
    points = prepare(bench.folder, "customers", size)
    array, workspace = points.array, points.workspace
    labels = Path(bench.folder) / "labels.npy"
    ours = bench.run(hanse_evaluate, workspace=str(workspace), runs=runs, labels=str(labels)).result
    pairs = 5_000 if bench.quick else 20_000
    peer = bench.run(peer_evaluate, array=str(array), labels=str(labels), runs=runs, quadratic_rows=pairs).result
    mine, theirs = Timing(tuple(ours["runs_s"])), Timing(tuple(peer["runs_s"]))
    ratio = theirs.ratio_to(mine)
    bench.say(f"evaluate: {seconds(mine.median_s)}, NumPy and scikit-learn {seconds(theirs.median_s)}")
    slower = f"Evaluation of {size:,} rows: NumPy and scikit-learn take {ratio:g} of Hanse's time, given the labels."
    quadratic = f"scikit-learn's `silhouette_score` of {pairs:,} rows alone (all pairs)"
    return Measurement(
        name="evaluate",
        title="Evaluation",
        how=(
            f"`{_STATEMENT}` over {size:,} rows and 3 clusters, labels included, against arrays in memory whose labels "
            "are given: scikit-learn's `davies_bouldin_score`, and the silhouette in NumPy by the same closed form as "
            "Hanse's (scikit-learn's own compares all pairs of rows, so it is timed on fewer).",
        ),
        targets=(
            Target("evaluation: at most 3 scans", 3.0, float(ours["scans"]), False, unit="scans"),
            Target(
                "evaluation: silhouette within 1e-9 of NumPy's",
                1e-9,
                float(f"{abs(ours['silhouette'] - peer['silhouette']):.2g}"),
                False,
            ),
        ),
        tables=(
            Table(
                ("contender", "time", "times Hanse's", "silhouette", "Davies-Bouldin"),
                (
                    ("Hanse", str(mine), "1", f"{ours['silhouette']:.9f}", f"{ours['davies_bouldin']:.9f}"),
                    (
                        "NumPy and scikit-learn",
                        str(theirs),
                        f"{ratio:g}",
                        f"{peer['silhouette']:.9f}",
                        f"{peer['davies_bouldin']:.9f}",
                    ),
                    (quadratic, seconds(peer["quadratic_s"]), "", "", ""),
                ),
            ),
        ),
        behind=(slower,) if ratio < 1 else (),
    )
