"""Training: a whole ``CREATE MODEL`` against its peers, at one size and along three axes through it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.bench import LIMIT_S, Bench, Contender, Contest
from benchmarks.contest import MLLIB, OURS, OURS_ON_SPARK, behind, growth, left_out, peak, ratio_of, rows, timings
from benchmarks.data import FEATURES, POPULATIONS, prepare
from benchmarks.report import Chart, Measurement, Slower, Table, Target, Timing, seconds
from benchmarks.spark_session import MASTER, missing_spark
from benchmarks.spark_trainers import hanse_spark_train, mllib_train
from benchmarks.trainers import hanse_train, numpy_train, sklearn_bisecting, sklearn_kmeans

__all__ = ["measure", "measure_clusters", "measure_features", "measure_rows"]

ONCE, TEN, KMEANS = "scikit-learn", "scikit-learn, n_init=10", "scikit-learn KMeans"
LOOP = "NumPy loop"
MLLIB_UNMOVED = f"{MLLIB}, rows as they are"

_RUNS, _PATIENCE_S = 5, 40.0
_LARGE = 40_000_000
"""Numbers of a table that only one measurement uses: it is removed at once."""


@dataclass(frozen=True)
class Cell:
    """What is trained: a population, its size, and the number of clusters."""

    population: str
    rows: int
    features: int = FEATURES
    clusters: int = 3

    @property
    def numbers(self) -> int:
        """How many numbers there are to read."""
        return self.rows * self.features

    def __str__(self) -> str:
        kind = "" if self.population == "customers" else f"{self.population}, "
        return f"{kind}{self.rows:,} rows, {self.features} features, k = {self.clusters}"


def _centre(bench: Bench) -> Cell:
    return Cell("customers", 100_000 if bench.quick else 1_000_000)


def _contenders(bench: Bench, cell: Cell) -> dict[str, Contender]:
    points = prepare(bench.folder, cell.population, cell.rows, cell.features)
    array = {"array": str(points.array), "clusters": cell.clusters}
    shape = {"features": cell.features, "clusters": cell.clusters}
    chosen: dict[str, Contender] = {
        OURS: (hanse_train, {"workspace": str(points.workspace), **shape}),
        ONCE: (sklearn_bisecting, {**array, "n_init": 1}),
        TEN: (sklearn_bisecting, {**array, "n_init": 10}),
        KMEANS: (sklearn_kmeans, array),
        LOOP: (numpy_train, array),
    }
    if missing_spark() is None and (cell == _centre(bench) or not bench.quick):
        spark = {"parquet": str(points.parquet), "scratch": str(bench.folder / "spark"), **shape}
        chosen[OURS_ON_SPARK] = (hanse_spark_train, spark)
        chosen[MLLIB] = (mllib_train, {**spark, "shift": 1.0})
        if cell == _centre(bench) and not bench.quick:
            chosen[MLLIB_UNMOVED] = (mllib_train, {**spark, "shift": 0.0})
    return chosen


def _contest(bench: Bench, cell: Cell, hopeless: Contest | None = None) -> Contest:
    """All contenders on a cell but the hopeless, who were left out already; held once for all measurements."""
    hopeless = hopeless or Contest({}, {})
    if cell not in bench.kept:
        chosen = {name: c for name, c in _contenders(bench, cell).items() if name not in hopeless.left_out}
        runs = 2 if bench.quick else _RUNS
        found = bench.interleaved(chosen, runs, patience_s=5.0 if bench.quick else _PATIENCE_S, seeded=True)
        left_out = {**hopeless.left_out, **found.left_out}
        bench.kept[cell] = Contest(found.outcomes, left_out, hopeless.too_slow | found.too_slow)
        bench.say(f"train: {cell}: " + ", ".join(f"{n} {seconds(t.median_s)}" for n, t in timings(found).items()))
        if cell.numbers > _LARGE:
            prepare(bench.folder, cell.population, cell.rows, cell.features).remove()
    return bench.kept[cell]


def _hopeless(last: Contest, before: Cell, cell: Cell) -> Contest:
    """Who was left out before, or would take too long on a cell if it grows linearly from the one before."""
    times = cell.numbers * cell.clusters / (before.numbers * before.clusters)
    expected = {name: times * timing.median_s for name, timing in timings(last).items()}
    told = {
        name: f"expected to take {seconds(taken)}, by what it took at {before}"
        for name, taken in expected.items()
        if taken > LIMIT_S and name != OURS
    }
    return Contest({}, told | last.left_out, last.too_slow | frozenset(told))


def _inertia_rows(cell: Cell, case: str, contest: Contest) -> list[tuple[str, ...]]:
    timings(contest)  # Hanse is there
    least = statistics.median(float(o.result["inertia"]) for o in contest.outcomes[OURS])
    return list(rows(case, contest, (lambda found: ratio_of("inertia", found, least), peak)))


_COLUMNS = ("contender", "time", "times Hanse's", "inertia over Hanse's", "peak memory")


# -- the centre ---------------------------------------------------------------------------------


def measure(bench: Bench) -> Measurement:
    """Both populations at one size."""
    cells = [replace(_centre(bench), population=population) for population in POPULATIONS]
    contests = {cell: _contest(bench, cell) for cell in cells}
    size = cells[0].rows
    found = {cell: timings(contest) for cell, contest in contests.items()}
    first = statistics.median(o.result["first_s"] for c in contests.values() for o in c.outcomes[OURS])
    missing = missing_spark()
    shown = (OURS, ONCE, TEN, KMEANS, LOOP, OURS_ON_SPARK, MLLIB)
    bars = {n: tuple(t[n].median_s for t in found.values()) for n in shown if all(n in t for t in found.values())}
    return Measurement(
        name="train",
        title="Training",
        how=_how(size, first),
        targets=tuple(target for cell in cells for target in _targets(cell, found[cell], contests[cell])),
        tables=(
            Table(
                ("rows", *_COLUMNS),
                tuple(row for cell, c in contests.items() for row in _inertia_rows(cell, cell.population, c)),
            ),
        ),
        charts=(_bars(size, bars),),
        slower=tuple(s for cell, contest in contests.items() for s in _slower(cell, contest)),
        skipped=(
            *((f"{OURS_ON_SPARK} and {MLLIB}: {missing}.",) if missing else ()),
            *(line for cell, c in contests.items() for line in left_out(str(cell), c)),
        ),
    )


def _bars(size: int, bars: dict[str, tuple[float, ...]]) -> Chart:
    return Chart("train", "groups", f"Training on {size:,} rows (log scale)", "seconds", bars, tuple(POPULATIONS))


def _how(size: int, first_s: float) -> tuple[str, ...]:
    return (
        f"{size:,} rows of {FEATURES} features, k = 3. Hanse is timed over the whole `CREATE MODEL` statement over a "
        "table in a DuckDB file, from its text to the stored model; scikit-learn's `BisectingKMeans` and `KMeans` over "
        "`fit()` of an array that is in memory already; so is *NumPy loop*, bisecting k-means as one would write it "
        "down: Lloyd's iteration over chunks, from two rows drawn at random, the same tolerance as scikit-learn's. "
        f"{OURS_ON_SPARK} and MLlib's `BisectingKMeans(k, seed, maxIter=20)` (`{MASTER}`) get rows that are cached in "
        "Spark, MLlib's as vectors. Every run is a fresh process that first trains on 2,000 rows, on Spark 100,000, so "
        "that imports, thread pools and Java's compiler are paid for by none; runs of the contenders alternate, each "
        "with another seed; whoever has taken long enough is not run again.",
        "Two populations, because the peers' time depends on how many steps their starts take: "
        + "; ".join(f"*{name}*: {what}" for name, what in POPULATIONS.items())
        + ".",
        "MLlib gets every feature 1 higher: it opens a split in proportion to its centre's norm, which is 0 for "
        "standardised rows. *Rows as they are* shows what it makes of them otherwise. Inertia is the sum of squared "
        "distances to the centroids. `KMeans` is not bound to a tree, and may go below a bisecting one.",
        f"The first `CREATE MODEL` of a process takes {seconds(first_s)} even on 2,000 rows: imports, and the "
        "registry's file. Peak memory is the process's, with its Java; the array or the rows are in it.",
    )


def _targets(cell: Cell, times: Mapping[str, Timing], contest: Contest) -> list[Target]:
    def faster(ours: str, peer: str, wanted: float) -> Target:
        what = f"training ({cell.population}, k = 3): {ours} at least {wanted:g} times as fast as {peer}"
        reached = times[peer].ratio_to(times[ours]) if {ours, peer} <= set(times) else None
        return Target(what, wanted, reached, at_least=True, unit="times")

    wanted = [faster(OURS, ONCE, 1.5), faster(OURS, TEN, 8.0), faster(OURS_ON_SPARK, MLLIB, 3.0)]
    dearer = None
    if {OURS_ON_SPARK, MLLIB} <= set(times):
        ours, theirs = (
            statistics.median(float(o.result["inertia"]) for o in contest.outcomes[name])
            for name in (OURS_ON_SPARK, MLLIB)
        )
        dearer = float(f"{ours / theirs:.4f}")
    what = f"training ({cell.population}, k = 3): {OURS_ON_SPARK} at no higher inertia than {MLLIB}"
    return [*wanted, Target(what, 1.0, dearer, at_least=False, unit="times its inertia")]


def _slower(cell: Cell, contest: Contest) -> list[Slower]:
    """Who was faster, and MLlib where Hanse on Spark was stopped."""
    case = f"Training: {cell}"
    times = {n: t for n, t in timings(contest).items() if n != MLLIB_UNMOVED}
    found = list(behind(case, times))
    if MLLIB in times and OURS_ON_SPARK in contest.too_slow:
        found.append(Slower(case, OURS_ON_SPARK, MLLIB, LIMIT_S, times[MLLIB].median_s, ended=False))
    return found


# -- three axes ---------------------------------------------------------------------------------


def measure_rows(bench: Bench) -> Measurement:
    """More rows."""
    all_values = (10_000, 100_000) if bench.quick else (100_000, 1_000_000, 10_000_000, 30_000_000)
    values = bench.small_enough(all_values)
    found = _axis(bench, "train_rows", "rows", [replace(_centre(bench), rows=value) for value in values], values)
    return replace(found, skipped=(*found.skipped, *bench.too_large(all_values, "rows")))


def measure_features(bench: Bench) -> Measurement:
    """More features."""
    values = (4, 8) if bench.quick else (4, 16, 64)
    return _axis(bench, "train_features", "features", [replace(_centre(bench), features=v) for v in values], values)


def measure_clusters(bench: Bench) -> Measurement:
    """More clusters."""
    values = (2, 3) if bench.quick else (2, 3, 8, 32)
    return _axis(bench, "train_clusters", "clusters", [replace(_centre(bench), clusters=v) for v in values], values)


def _axis(bench: Bench, name: str, unit: str, cells: Sequence[Cell], values: Sequence[int]) -> Measurement:
    contests: list[Contest] = []
    for number, cell in enumerate(cells):
        hopeless = _hopeless(contests[-1], cells[number - 1], cell) if contests else None
        contests.append(_contest(bench, cell, hopeless))
    found = [timings(contest) for contest in contests]
    shown = [{n: t for n, t in times.items() if n != MLLIB_UNMOVED} for times in found]
    took = [{name: timing.median_s for name, timing in times.items()} for times in shown]
    cells_at = list(zip(map(float, values), took, strict=True))
    fitted, chart = growth(name, f"Training time over {unit}", unit, cells_at)
    fixed = {"rows": f"{cells[0].rows:,} rows", "features": f"{FEATURES} features", "clusters": "k = 3"}
    others = ", ".join(text for key, text in fixed.items() if key != unit)
    table = [
        row
        for value, cell, contest in zip(values, cells, contests, strict=True)
        for row in _inertia_rows(cell, f"{value:,}", contest)
        if row[1] != MLLIB_UNMOVED
    ]
    return Measurement(
        name=name,
        title=f"Training, by the number of {unit}",
        how=(
            f"As in [Training](#training), on customers: {others}. A contender that takes more than {LIMIT_S:g} s at a "
            "size is left out there and beyond.",
        ),
        tables=(fitted, Table((unit, *_COLUMNS), tuple(table))),
        charts=(chart,),
        slower=tuple(s for cell, contest in zip(cells, contests, strict=True) for s in _slower(cell, contest)),
        skipped=tuple(
            line for cell, contest in zip(cells, contests, strict=True) for line in left_out(str(cell), contest)
        ),
    )
