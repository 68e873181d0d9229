"""Prediction: a table with every row's cluster against a plain copy of the same rows."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.data import columns, prepare
from benchmarks.report import Measurement, Table, Target, Timing, seconds

__all__ = ["measure"]

_STATEMENTS = {
    "model_predict": "CREATE OR REPLACE TABLE p AS SELECT * FROM model_predict(m, 1, SELECT * FROM points)",
    "copy": "CREATE OR REPLACE TABLE p AS SELECT * FROM points",
}


def hanse_predict(workspace: str, runs: int) -> dict[str, Any]:
    """Time both statements in turn, in one session; one run of each before does not count."""
    import hanse

    found: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    with hanse.connect(workspace) as session:
        names = ", ".join(columns())
        session.sql(
            f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({names})) features) "
            f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3) AS SELECT {names} FROM points"
        )
        for number in range(runs + 1):
            for name, statement in _STATEMENTS.items():
                started = time.perf_counter()
                session.sql(statement)
                if number:
                    found[name].append(time.perf_counter() - started)
        session.sql("DROP TABLE p")
    return found


def measure(bench: Bench) -> Measurement:
    """At two sizes."""
    sizes = (100_000, 1_000_000) if bench.quick else (1_000_000, 10_000_000)
    rows: list[tuple[str, ...]] = []
    targets = []
    for size in sizes:
        workspace = prepare(bench.folder, "customers", size).workspace
        result = bench.run(hanse_predict, workspace=str(workspace), runs=3 if bench.quick else 7).result
        predict, copy = (Timing(tuple(result[name])) for name in _STATEMENTS)
        ratio = predict.ratio_to(copy)
        bench.say(f"predict: {size:,} rows: {seconds(predict.median_s)}, copy {seconds(copy.median_s)}")
        rows += [
            (f"{size:,}", "`CREATE TABLE p AS SELECT * FROM model_predict(...)`", str(predict), f"{ratio:g}"),
            (f"{size:,}", "`CREATE TABLE p AS SELECT * FROM points`", str(copy), "1"),
        ]
        targets.append(
            Target(f"prediction of {size:,} rows: at most 2 times a plain copy", 2.0, ratio, False, unit="times")
        )
    return Measurement(
        name="predict",
        title="Prediction",
        how=(
            "A model of 3 clusters over 4 features. Both statements run in turn in one session over a DuckDB file and "
            "write their rows to it; the prediction writes one column more.",
        ),
        targets=tuple(targets),
        tables=(Table(("rows", "statement", "time", "times the copy's"), tuple(rows)),),
    )
