"""Memory: training on more rows than the engine may hold."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.data import columns
from benchmarks.report import Measurement, Table, Target, seconds

__all__ = ["measure"]


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


def hanse_train_from_parquet(path: str, workspace: str, limit: str, clusters: int) -> dict[str, Any]:
    """CREATE MODEL straight from the file."""
    import hanse

    names = ", ".join(columns())
    with hanse.connect(workspace, memory_limit=limit) as session:
        started = time.perf_counter()
        session.sql(
            f"CREATE MODEL m TRANSFORM (vector_assembler(array({names})) features) "
            f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}) "
            f"AS SELECT {names} FROM parquet.`{path}`"
        )
        train_s = time.perf_counter() - started
        sizes = [n for (n,) in session.sql("SELECT cluster_size FROM model_centroids(m, 1)").fetchall()]
    return {"train_s": train_s, "sizes": sizes}


def measure(bench: Bench) -> Measurement:
    """One training under a limit."""
    rows, limit = (2_000_000, "500MB") if bench.quick else (50_000_000, "2GB")
    path = bench.folder / "many.parquet"
    bench.run(make_parquet, path=str(path), rows=rows)
    size_bytes = path.stat().st_size
    bench.say(f"memory: {rows:,} rows of Parquet are written")
    workspace = bench.folder / "many"
    outcome = bench.run(hanse_train_from_parquet, path=str(path), workspace=str(workspace), limit=limit, clusters=3)
    path.unlink()
    sizes = outcome.result["sizes"]
    whole = sum(sizes) == rows and len(sizes) == 3
    bench.say(f"memory: {seconds(outcome.result['train_s'])}, peak {outcome.peak_bytes / 1e9:.2f} GB")
    return Measurement(
        name="memory",
        title="More rows than memory",
        how=(
            f"{rows:,} rows of 4 features ({size_bytes / 1e9:.1f} GB of Parquet) into 3 clusters, by one "
            f"`CREATE MODEL` over the file, with DuckDB's memory limited to {limit} "
            f"(`hanse.connect(..., memory_limit={limit!r})`); what does "
            "not fit goes to the workspace's disk. The peak is the whole process's, Python's and Arrow's "
            "memory included, as the system counts it.",
        ),
        targets=(
            Target(
                f"{rows:,} x 4 rows train under a memory limit of {limit}",
                1.0,
                float(whole),
                True,
                unit="model of all rows" if whole else "models",
            ),
        ),
        tables=(
            Table(
                ("rows", "limit", "CREATE MODEL", "peak of the process", "cluster sizes"),
                (
                    (
                        f"{rows:,}",
                        limit,
                        seconds(outcome.result["train_s"]),
                        f"{outcome.peak_bytes / 1e9:.2f} GB",
                        ", ".join(f"{n:,}" for n in sizes),
                    ),
                ),
            ),
        ),
    )
