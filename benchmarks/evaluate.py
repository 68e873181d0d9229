"""Evaluation: ``model_evaluate`` against other measures of the same labels, its scans, and its growth with the rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.bench import Bench, Contender, Contest
from benchmarks.contest import MLLIB, OURS, behind, growth, left_out, medians, peak, rows, timings
from benchmarks.data import Points, prepare
from benchmarks.evaluators import (
    STATEMENT,
    count_scans,
    hanse_evaluate,
    label,
    mllib_evaluate,
    numpy_evaluate,
    sklearn_silhouette,
)
from benchmarks.processes import Outcome
from benchmarks.report import Measurement, Table, Target, seconds
from benchmarks.spark_session import missing_spark

__all__ = ["measure"]

NUMPY = "NumPy and scikit-learn"
_RUNS, _PATIENCE_S = 5, 25.0


def measure(bench: Bench) -> Measurement:
    """Scans, time and agreement, at three sizes."""
    sizes = (100_000,) if bench.quick else (100_000, 1_000_000, 10_000_000)
    contests = {size: _contest(bench, size) for size in sizes}
    found = {size: timings(contest) for size, contest in contests.items()}
    points, sample = prepare(bench.folder, "customers", sizes[0]), 5_000 if bench.quick else 20_000
    scans = bench.run(count_scans, workspace=str(points.workspace)).result["scans"]
    pairs = bench.run(sklearn_silhouette, array=str(points.array), labels=_labels(points), sample=sample).result
    cells = [(float(size), medians(contest)) for size, contest in contests.items()]
    fitted, chart = growth("evaluate_growth", "Evaluation time over rows", "rows", cells)
    columns = (_told("silhouette"), _told("davies_bouldin"), peak)
    header = ("rows", "contender", "time", "times Hanse's", "silhouette", "Davies-Bouldin", "peak memory")
    missing = missing_spark()
    return Measurement(
        name="evaluate",
        title="Evaluation",
        how=(
            f"`{STATEMENT}` of 3 clusters over 4 features, labels included, against arrays in memory whose labels are "
            "given: scikit-learn's `davies_bouldin_score`, and the silhouette in NumPy by the same closed form as "
            "Hanse's; and against MLlib's `ClusteringEvaluator` (the silhouette alone) of vectors and labels that are "
            "cached in Spark. Silhouettes are of squared Euclidean distances. Each run is a fresh process that has "
            "evaluated once before it is timed; contenders alternate.",
            f"scikit-learn's own `silhouette_score` compares all pairs of rows: {sample:,} rows alone take it "
            f"{seconds(pairs['timed_s'])}.",
        ),
        targets=(
            Target("evaluation: at most 3 scans", 3.0, float(scans), False, unit="scans"),
            _agreement("NumPy's", _apart(list(contests.values()), NUMPY)),
            _agreement("MLlib's", _apart(list(contests.values()), MLLIB)),
            Target(
                f"evaluation: the closed form within 1e-9 of scikit-learn's all pairs, {sample:,} rows",
                1e-9,
                _digits(abs(pairs["silhouette"] - pairs["closed"])),
                False,
            ),
        ),
        tables=(
            Table(
                header, tuple(row for size, contest in contests.items() for row in rows(f"{size:,}", contest, columns))
            ),
            *((fitted,) if fitted.rows else ()),
        ),
        charts=(chart,) if fitted.rows else (),
        slower=tuple(s for size, times in found.items() for s in behind(f"Evaluation: {size:,} rows", times)),
        skipped=(
            *((f"{MLLIB}: {missing}.",) if missing else ()),
            *(line for size, contest in contests.items() for line in left_out(f"{size:,} rows", contest)),
        ),
    )


def _labels(points: Points) -> str:
    return str(points.array.with_suffix(".labels.npy"))


def _contest(bench: Bench, size: int) -> Contest:
    points = prepare(bench.folder, "customers", size)
    workspace, array, labels = str(points.workspace), str(points.array), _labels(points)
    labelled = points.parquet.with_suffix(".labelled.parquet")
    bench.run(label, workspace=workspace, labels=labels, parquet=str(labelled))
    contenders: dict[str, Contender] = {
        OURS: (hanse_evaluate, {"workspace": workspace}),
        NUMPY: (numpy_evaluate, {"array": array, "labels": labels}),
    }
    if missing_spark() is None:
        contenders[MLLIB] = (mllib_evaluate, {"parquet": str(labelled), "scratch": str(bench.folder / "spark")})
    contest = bench.interleaved(contenders, _RUNS, patience_s=3.0 if bench.quick else _PATIENCE_S)
    labelled.unlink()
    took = ", ".join(f"{name} {seconds(timing.median_s)}" for name, timing in timings(contest).items())
    bench.say(f"evaluate: {size:,} rows: {took}")
    return contest


def _told(key: str) -> Callable[[Sequence[Outcome]], str]:
    return lambda found: f"{found[0].result[key]:.9f}" if key in found[0].result else ""


def _apart(contests: Sequence[Contest], peer: str) -> float | None:
    """The largest difference of Hanse's silhouette to a peer's; None where the peer has none."""
    both = [c.outcomes for c in contests if peer in c.outcomes]
    gaps = [
        abs(statistics.median(o.result["silhouette"] for o in found[OURS]) - found[peer][0].result["silhouette"])
        for found in both
    ]
    return max(gaps) if gaps else None


def _digits(value: float) -> float:
    return float(f"{value:.2g}")


def _agreement(whose: str, apart: float | None) -> Target:
    reached = None if apart is None else _digits(apart)
    return Target(f"evaluation: silhouette within 1e-9 of {whose}", 1e-9, reached, False)
