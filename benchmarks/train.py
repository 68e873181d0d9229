"""Training: a whole ``CREATE MODEL`` over a DuckDB table against scikit-learn given the array."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench import Bench, Contender
from benchmarks.data import COLUMNS, POPULATIONS, prepare
from benchmarks.processes import Outcome
from benchmarks.report import Chart, Measurement, Table, Target, Timing, seconds

__all__ = ["measure"]

OURS, ONCE, TEN = "Hanse", "scikit-learn", "scikit-learn, n_init=10"


def hanse_train(workspace: str, clusters: int, seed: int) -> dict[str, Any]:
    """Time CREATE MODEL; a model of 2,000 rows before it does the imports."""
    import hanse

    def statement(table: str) -> str:
        names = ", ".join(COLUMNS)
        return (
            f"CREATE OR REPLACE MODEL m TRANSFORM (vector_assembler(array({names})) features) "
            f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}, SEED = {seed}) "
            f"AS SELECT {names} FROM {table}"
        )

    with hanse.connect(workspace) as session:
        started = time.perf_counter()
        session.sql(statement("few"))
        first_s = time.perf_counter() - started
        started = time.perf_counter()
        session.sql(statement("points"))
        train_s = time.perf_counter() - started
        inertia = session.sql("SELECT SUM(inertia) FROM model_centroids(m, 1)").fetchall()[0][0]
    return {"train_s": train_s, "first_s": first_s, "inertia": inertia}


def sklearn_train(array: str, clusters: int, n_init: int, seed: int) -> dict[str, Any]:
    """Time fit(); a model of 2,000 rows before it wakes the thread pools."""
    import numpy as np
    from sklearn.cluster import BisectingKMeans

    rows = np.load(array)
    BisectingKMeans(n_clusters=clusters, n_init=n_init, random_state=seed).fit(rows[:2000])
    started = time.perf_counter()
    model = BisectingKMeans(n_clusters=clusters, n_init=n_init, random_state=seed).fit(rows)
    return {"train_s": time.perf_counter() - started, "inertia": float(model.inertia_)}


def contest(
    bench: Bench, population: str, rows: int, clusters: int, runs: Mapping[str, int]
) -> dict[str, list[Outcome]]:
    """All contenders over the same rows."""
    array, workspace = prepare(bench.folder, population, rows)
    arguments = {"array": str(array), "clusters": clusters}
    contenders: dict[str, Contender] = {
        OURS: (hanse_train, {"workspace": str(workspace), "clusters": clusters}),
        ONCE: (sklearn_train, {**arguments, "n_init": 1}),
        TEN: (sklearn_train, {**arguments, "n_init": 10}),
    }
    chosen = {name: contender for name, contender in contenders.items() if runs.get(name)}
    outcomes = bench.interleaved(chosen, runs, seeded=True)
    shown = ", ".join(f"{name} {seconds(timing(found).median_s)}" for name, found in outcomes.items())
    bench.say(f"train: {rows:,} {population}, k = {clusters}: {shown}")
    return outcomes


def timing(outcomes: Sequence[Outcome]) -> Timing:
    """What training took."""
    return Timing(tuple(o.result["train_s"] for o in outcomes))


def contest_rows(name: str, outcomes: Mapping[str, Sequence[Outcome]]) -> list[tuple[str, ...]]:
    """A contest as rows of a table."""
    ours = timing(outcomes[OURS])
    least = statistics.median(o.result["inertia"] for o in outcomes[OURS])
    rows: list[tuple[str, ...]] = []
    for contender, found in outcomes.items():
        inertia = [o.result["inertia"] / least for o in found]
        rows.append(
            (
                name,
                contender,
                str(timing(found)),
                f"{timing(found).ratio_to(ours):g}",
                f"{statistics.median(inertia):.3f} (worst {max(inertia):.3f})",
            )
        )
    return rows


def measure(bench: Bench) -> Measurement:
    """Both populations, k = 3 and 8, and growth with the number of rows."""
    size, runs = (100_000, 2) if bench.quick else (1_000_000, 5)
    rows: list[tuple[str, ...]] = []
    bars: dict[str, list[float]] = {OURS: [], ONCE: [], TEN: []}
    targets: list[Target] = []
    first: list[float] = []
    slower: list[str] = []
    known: dict[int, dict[str, list[Outcome]]] = {}
    contests = [(p, 3) for p in POPULATIONS] + ([] if bench.quick else [(p, 8) for p in POPULATIONS])
    for population, clusters in contests:
        wanted = {OURS: runs, ONCE: runs, TEN: runs if clusters == 3 else 1}
        outcomes = contest(bench, population, size, clusters, wanted)
        rows += contest_rows(f"{population}, k = {clusters}", outcomes)
        timings = {name: timing(found) for name, found in outcomes.items()}
        if (population, clusters) == ("customers", 3):
            known[size] = {name: outcomes[name] for name in (OURS, ONCE)}
        first += [o.result["first_s"] for o in outcomes[OURS]]
        for name, found in timings.items():
            bars[name].append(found.median_s)
        slower += _faster_peers(f"{size:,} {population} with k = {clusters}", timings)
        if clusters == 3:
            targets += [
                _target(population, ONCE, 1.5, timings),
                _target(population, TEN, 8.0, timings),
            ]
    labels = tuple(f"{p}, k = {k}" for p, k in contests)
    charts = [_bars(labels, bars, size)]
    growth, chart, faster = _growth(bench, known)
    slower += [line for line in faster if line not in slower]
    return Measurement(
        name="train",
        title="Training",
        how=(
            f"{size:,} rows of 4 features in a DuckDB file. Hanse is timed over the whole `CREATE MODEL` statement, "
            "from its text to the stored model; scikit-learn's `BisectingKMeans` over `fit()` of an array that is in "
            "memory already. Every run is a fresh process that first trains on 2,000 rows, so that imports and thread "
            "pools are paid for by neither; runs of the contenders alternate; scikit-learn gets another seed "
            "each time.",
            "Two populations, because scikit-learn's time depends on how many steps its starts take: "
            + "; ".join(f"*{name}*: {what}" for name, what in POPULATIONS.items())
            + ".",
            f"The first `CREATE MODEL` of a process takes {seconds(statistics.median(first))} even on 2,000 rows: "
            "imports, and the registry's file.",
        ),
        targets=tuple(targets),
        tables=(
            Table(("rows", "contender", "time", "times Hanse's", "inertia over Hanse's"), tuple(rows)),
            growth,
        ),
        charts=(*charts, chart),
        slower=tuple(slower),
    )


def _faster_peers(rows: str, timings: Mapping[str, Timing]) -> list[str]:
    """A sentence for each peer that took less time than Hanse."""
    return [
        f"Training on {rows}: {name} takes {timing.ratio_to(timings[OURS]):g} times Hanse's {timings[OURS]}. A "
        "statement costs some tens of milliseconds however few its rows (parsing, a copy, about ten scans, registry), "
        "and a single start that soon comes to rest is cheap."
        for name, timing in timings.items()
        if name != OURS and timing.ratio_to(timings[OURS]) < 1
    ]


def _target(population: str, peer: str, wanted: float, timings: Mapping[str, Timing]) -> Target:
    what = f"training ({population}, k = 3): at least {wanted:g} times as fast as {peer}"
    return Target(what, wanted, timings[peer].ratio_to(timings[OURS]), at_least=True, unit="times")


def _bars(labels: tuple[str, ...], bars: Mapping[str, Sequence[float]], size: int) -> Chart:
    return Chart(
        "train",
        "groups",
        f"Training on {size:,} rows (log scale)",
        "seconds",
        {name: tuple(values) for name, values in bars.items()},
        labels,
    )


def _growth(bench: Bench, known: Mapping[int, dict[str, list[Outcome]]]) -> tuple[Table, Chart, list[str]]:
    """Customers, k = 3, at several sizes, without the best of ten starts: it would take minutes."""
    sizes = {10_000: 2, 100_000: 2} if bench.quick else {100_000: 5, 1_000_000: 5, 10_000_000: 3}
    rows: list[tuple[str, ...]] = []
    series: dict[str, list[float]] = {OURS: [], ONCE: []}
    faster: list[str] = []
    for size, runs in sizes.items():
        outcomes = known.get(size) or contest(bench, "customers", size, 3, {OURS: runs, ONCE: runs})
        rows += contest_rows(f"{size:,}", outcomes)
        timings = {name: timing(found) for name, found in outcomes.items()}
        faster += _faster_peers(f"{size:,} customers with k = 3", timings)
        for name, found in timings.items():
            series[name].append(found.median_s)
    table = Table(
        ("customers", "contender", "time", "times Hanse's", "inertia over Hanse's"),
        tuple(rows),
        "Growth with the number of rows, k = 3:",
    )
    at = tuple(float(s) for s in sizes)
    chart = Chart(
        "train_growth",
        "lines",
        "Training time over rows",
        "seconds",
        {name: tuple(values) for name, values in series.items()},
        at=dict.fromkeys(series, at),
        at_unit="rows",
    )
    return table, chart, faster
