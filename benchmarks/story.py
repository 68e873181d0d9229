"""The whole story: the demo's scripts by Hanse on both engines, and the same scripts on PySpark and MLlib."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench, Contender, Contest
from benchmarks.contest import OURS, OURS_ON_SPARK, behind, growth, left_out, medians, peak, rows, timings
from benchmarks.generate import demo_events
from benchmarks.processes import Outcome
from benchmarks.report import Chart, Measurement, Table, Target, seconds
from benchmarks.spark_session import MASTER, SETTINGS, missing_spark
from benchmarks.story_hanse import SCRIPTS, hanse_story
from benchmarks.story_plan import plan
from benchmarks.story_spark import spark_story

__all__ = ["measure"]

THEIRS = "PySpark + MLlib"
PHASES = ("start", "features and aggregates", "training", "evaluation", "prediction")
_MIDDLE = 2_000_000
_RUNS, _PATIENCE_S, _LIMIT_S = 5, 70.0, 900.0


def measure(bench: Bench) -> Measurement:
    """The story by all, at three sizes, and what each found."""
    sizes = (200_000,) if bench.quick else (200_000, _MIDDLE, 20_000_000)
    contests = {size: _contest(bench, size) for size in bench.small_enough(sizes)}
    shown = _MIDDLE if _MIDDLE in contests else sizes[0]
    found = {size: timings(contest) for size, contest in contests.items()}
    cells = [(float(size), medians(contest)) for size, contest in contests.items()]
    fitted, lines = growth("story_growth", "The whole story over its events", "events", cells)
    missing = missing_spark()
    return Measurement(
        name="story",
        title="The whole story",
        how=_how(),
        targets=_targets(shown, contests),
        tables=(_times(contests), *((fitted,) if fitted.rows else ()), _found(contests)),
        charts=(_phases_chart(shown, contests[shown]), *((lines,) if fitted.rows else ())),
        slower=tuple(s for size, times in found.items() for s in behind(f"The whole story: {size:,} events", times)),
        skipped=(
            *((f"{OURS_ON_SPARK} and {THEIRS} were not measured: {missing}.",) if missing else ()),
            *(line for size, contest in contests.items() for line in left_out(f"{size:,} events", contest)),
            *bench.too_large(sizes, "events"),
        ),
    )


def _contest(bench: Bench, size: int) -> Contest:
    """Everyone at one size, after a look at whether all saw the same customers.

    Raises:
        RuntimeError: they did not.
    """
    from hanse import demo

    events = str(demo_events(bench, size))
    steps = bench.folder / "plan.json"
    dates = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
    steps.write_text(json.dumps(plan(demo.story()[:SCRIPTS], dates)))
    given = {"events": events, "scratch": str(bench.folder)}
    contenders: dict[str, Contender] = {OURS: (hanse_story, given)}
    if missing_spark() is None:
        options = {"engine": "spark", "master": MASTER, "memory_limit": "4GB"}
        contenders[OURS_ON_SPARK] = (hanse_story, given | options)
        contenders[THEIRS] = (spark_story, {**given, "events_table": demo.EVENTS_TABLE, "plan": str(steps)})
    patience_s = 5.0 if bench.quick else _PATIENCE_S
    contest = bench.interleaved(contenders, _RUNS, patience_s=patience_s, limit_s=_LIMIT_S)
    took = ", ".join(f"{name} {seconds(timing.median_s)}" for name, timing in timings(contest).items())
    bench.say(f"story: {size:,} events: {took}")
    seen = {name: _customers(found[0]) for name, found in contest.outcomes.items()}
    if any(customers != seen[OURS] for customers in seen.values()):
        raise RuntimeError(f"the contenders did not see the same customers: {seen}")
    return contest


def _customers(outcome: Outcome) -> dict[str, int]:
    """How many customers each model was trained on."""
    return {name: sum(sizes) for name, sizes in outcome.result["sizes"].items()}


def _how() -> tuple[str, ...]:
    settings = ", ".join(f"`{key}={value}`" for key, value in SETTINGS.items())
    return (
        f"The first {SCRIPTS} scripts of `examples/fitfashionmart` over nested events in one Parquet file: features, a "
        "model for each of two stores, evaluation, prediction, aggregates, the global model, its evaluation and its "
        "prediction. All contenders are cold processes, timed from start to exit, in turn, and read the file through a "
        "view. Who has taken a minute or more is not run again.",
        f"Hanse runs the scripts as they stand, in a new workspace on disk: on DuckDB, and on Spark "
        f"(`engine='spark', master='{MASTER}', memory_limit='4GB'`), which reads the same file and writes its tables "
        "as Parquet.",
        f"{THEIRS} runs the same SQL text, `{MASTER}`. Every `CREATE TABLE` is cached in memory instead of written to "
        "disk; `CREATE MODEL` is `VectorAssembler` and `BisectingKMeans(k, seed, maxIter=20)`, with the same weights "
        "in the global model; `model_evaluate` is `ClusteringEvaluator` (the silhouette alone, where Hanse also gives "
        "Davies-Bouldin and inertia); `model_predict` is `transform`. MLlib is as pip installs it, without a native "
        f"BLAS. Settings: {settings}.",
        "MLlib gets every feature 1 higher. It opens a split in proportion to the centre's distance from zero, and the "
        "centre of standardised features is zero: given the features as they are it returns one cluster. All "
        "contenders train each model on as many customers, which is checked; where each cuts them is below.",
    )


def _targets(shown: int, contests: Mapping[int, Contest]) -> tuple[Target, ...]:
    times = timings(contests[shown])
    ratio = times[THEIRS].ratio_to(times[OURS]) if THEIRS in times else None
    both = [c.outcomes for c in contests.values() if OURS_ON_SPARK in c.outcomes]
    differ = sum(
        sorted(sizes) != sorted(outcomes[OURS_ON_SPARK][0].result["sizes"][name])
        for outcomes in both
        for name, sizes in outcomes[OURS][0].result["sizes"].items()
    )
    return (
        Target(
            f"the whole story on {shown:,} events: at least 25 times as fast as {THEIRS}", 25.0, ratio, True, "times"
        ),
        Target(
            "the whole story: clusters of the same sizes on both of Hanse's engines",
            0.0,
            float(differ) if both else None,
            False,
            "models differ",
        ),
    )


def _phases(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Median seconds by phase; ``start`` takes what the process needs beyond its phases, to load, stop and exit."""
    found = {p: statistics.median(o.result["phases"].get(p, 0.0) for o in outcomes) for p in PHASES}
    found["start"] = max(statistics.median(o.wall_s for o in outcomes) - sum(found[p] for p in PHASES[1:]), 0.0)
    return found


def _times(contests: Mapping[int, Contest]) -> Table:
    columns = [lambda outcomes, p=p: seconds(_phases(outcomes)[p]) for p in PHASES]
    return Table(
        ("events", "contender", "wall time", "times Hanse's", "start and exit", *PHASES[1:], "peak memory"),
        tuple(row for size, contest in contests.items() for row in rows(f"{size:,}", contest, (*columns, peak))),
    )


def _found(contests: Mapping[int, Contest]) -> Table:
    names = sorted(next(iter(contests.values())).outcomes[OURS][0].result["sizes"])
    lines = []
    for size, contest in contests.items():
        for contender, outcomes in contest.outcomes.items():
            result = outcomes[0].result
            sizes = (", ".join(f"{n:,}" for n in sorted(result["sizes"][name], reverse=True)) for name in names)
            lines.append((f"{size:,}", contender, *sizes, ", ".join(f"{s:.4f}" for s in result["silhouettes"])))
    return Table(("events", "contender", *names, "silhouettes"), tuple(lines), "What was found, as cluster sizes:")


def _phases_chart(size: int, contest: Contest) -> Chart:
    phases = [_phases(outcomes) for outcomes in contest.outcomes.values()]
    series = {phase if phase != "start" else "start and exit": tuple(p[phase] for p in phases) for phase in PHASES}
    return Chart("story", "stacked", f"The whole story on {size:,} events", "seconds", series, tuple(contest.outcomes))
