"""Memory: training from a file, Hanse under a limit that most of the rows do not fit into, beside scikit-learn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Contender, Contest
from benchmarks.contest import OURS, behind, growth, left_out, peak, rows, timings
from benchmarks.data import columns
from benchmarks.report import Measurement, Table, Target, seconds
from benchmarks.trainers import create_model

__all__ = ["measure"]

PEER = "scikit-learn"
_CLUSTERS = 3


def make_parquet(path: str, rows: int) -> dict[str, Any]:
    """Rows with heavy tails, from hashes of their number, so that they are the same everywhere."""
    import duckdb

    uniform = "(1 + hash(i * 4 + {0}) % 1000000007) / 1000000008.0"
    values = (
        f"exp(0.8 * sqrt(-2 * ln({uniform.format(0)})) * cos(2 * pi() * {uniform.format(1)}))",
        f"-ln({uniform.format(1)})",
        f"sqrt({uniform.format(2)})",
        uniform.format(3),
    )
    listed = ", ".join(f"({text})::DOUBLE AS {name}" for name, text in zip(columns(), values, strict=True))
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT {listed} FROM range({rows}) AS r(i)) TO '{path}' (FORMAT parquet)")
    return {}


def hanse_from_parquet(path: str, workspace: str, limit: str) -> dict[str, Any]:
    """CREATE MODEL straight from the file."""
    import hanse

    with hanse.connect(workspace, memory_limit=limit) as session:
        started = time.perf_counter()
        session.sql(create_model(len(columns()), _CLUSTERS, 0, f"parquet.`{path}`"))
        timed_s = time.perf_counter() - started
        sizes = [n for (n,) in session.sql("SELECT cluster_size FROM model_centroids(m, 1)").fetchall()]
    return {"timed_s": timed_s, "sizes": sizes}


def sklearn_from_parquet(path: str) -> dict[str, Any]:
    """Read the file into an array and fit; one start."""
    import numpy as np
    import pyarrow.parquet as pq
    from sklearn.cluster import BisectingKMeans

    started = time.perf_counter()
    array = np.column_stack([column.to_numpy() for column in pq.read_table(path).columns])
    model = BisectingKMeans(n_clusters=_CLUSTERS, random_state=0).fit(array)
    timed_s = time.perf_counter() - started
    return {"timed_s": timed_s, "sizes": np.bincount(model.labels_).tolist()}


def measure(bench: Bench) -> Measurement:
    """Several sizes; the last one is the target's."""
    sizes, limit = ((500_000, 2_000_000), "500MB") if bench.quick else ((1_000_000, 10_000_000, 50_000_000), "2GB")
    contests = {size: _contest(bench, size, limit) for size in sizes}
    most = sizes[-1]
    found = contests[most].outcomes[OURS][0].result["sizes"]
    whole = sum(found) == most and len(found) == _CLUSTERS
    peaks = [
        (float(size), {name: max(o.peak_bytes for o in ran) / 1e9 for name, ran in contest.outcomes.items()})
        for size, contest in contests.items()
    ]
    fitted, chart = growth("memory", "Peak memory over rows", "rows", peaks, "GB")
    lines = tuple(row for size, contest in contests.items() for row in rows(f"{size:,}", contest))
    return Measurement(
        name="memory",
        title="More rows than memory",
        how=(
            f"Rows of 4 features in a Parquet file into {_CLUSTERS} clusters. Hanse: one `CREATE MODEL` over the file, "
            f"with DuckDB's memory limited to {limit} (`hanse.connect(..., memory_limit={limit!r})`); what does not "
            "fit goes to the workspace's disk. scikit-learn: the file read into an array, and `BisectingKMeans` with "
            "one start. The time is from file to model. The peak is the whole process's, Python's and Arrow's memory "
            "included, as the system counts it.",
        ),
        targets=(
            Target(
                f"{most:,} x 4 rows train under a memory limit of {limit}",
                1.0,
                float(whole),
                True,
                unit="model of all rows" if whole else "models",
            ),
        ),
        tables=(Table(("rows", "contender", "time", "times Hanse's", "peak memory"), lines), fitted),
        charts=(chart,),
        slower=tuple(s for n, c in contests.items() for s in behind(f"Training from a file: {n:,} rows", timings(c))),
        skipped=tuple(line for size, contest in contests.items() for line in left_out(f"{size:,} rows", contest)),
    )


def _contest(bench: Bench, size: int, limit: str) -> Contest:
    path: Path = bench.folder / "many.parquet"
    bench.run(make_parquet, path=str(path), rows=size)
    contenders: dict[str, Contender] = {
        OURS: (
            hanse_from_parquet,
            {"path": str(path), "workspace": str(bench.folder / f"many_{size}"), "limit": limit},
        ),
        PEER: (sklearn_from_parquet, {"path": str(path)}),
    }
    runs = bench.interleaved(contenders, 1 if bench.quick else 5, patience_s=15.0)
    path.unlink()
    took = ", ".join(f"{name} {seconds(timing.median_s)}" for name, timing in timings(runs).items())
    bench.say(f"memory: {size:,} rows: {took}; " + ", ".join(peak(found) for found in runs.outcomes.values()))
    return runs
