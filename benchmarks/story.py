"""The whole story: the demo's scripts by Hanse against the same scripts on PySpark and MLlib, as cold processes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench
from benchmarks.generate import demo_events
from benchmarks.processes import Outcome
from benchmarks.report import Chart, Measurement, Table, Target, Timing, seconds
from benchmarks.spark_session import SETTINGS, missing_spark
from benchmarks.story_hanse import SCRIPTS, hanse_story
from benchmarks.story_plan import plan
from benchmarks.story_spark import spark_story

__all__ = ["measure"]

PHASES = ("start", "features and aggregates", "training", "evaluation", "prediction")


def measure(bench: Bench) -> Measurement:
    """The story by both, and what each found."""
    from hanse import demo

    size = 200_000 if bench.quick else 2_000_000
    events = demo_events(bench, size)
    steps = bench.folder / "plan.json"
    dates = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
    steps.write_text(json.dumps(plan(demo.story()[:SCRIPTS], dates)))
    missing = missing_spark()
    runs = (2, 1) if bench.quick else (5, 3)
    ours: list[Outcome] = []
    theirs: list[Outcome] = []
    for number in range(runs[0]):
        workspace = str(bench.folder / f"story_{number}")
        ours.append(bench.run(hanse_story, events=str(events), workspace=workspace))
        bench.say(f"story: {size:,} events by Hanse: {seconds(ours[-1].wall_s)}")
        if missing is None and number < runs[1]:
            arguments = {"events": str(events), "events_table": demo.EVENTS_TABLE, "plan": str(steps)}
            arguments["scratch"] = str(bench.folder / "spark")
            theirs.append(bench.run(spark_story, **arguments))
            bench.say(f"story: {size:,} events by Spark: {seconds(theirs[-1].wall_s)}")
    contenders = {"Hanse": ours} | ({"PySpark + MLlib": theirs} if theirs else {})
    return Measurement(
        name="story",
        title="The whole story",
        how=_how(size),
        targets=(_target(size, ours, theirs),),
        tables=(_times(contenders), _found(contenders)),
        charts=(_chart(size, contenders),),
        skipped=(f"PySpark + MLlib was not measured: {missing}.",) if missing else (),
    )


def _how(size: int) -> tuple[str, ...]:
    settings = ", ".join(f"`{key}={value}`" for key, value in SETTINGS.items())
    return (
        f"The first {SCRIPTS} scripts of `examples/fitfashionmart` over {size:,} nested events in one Parquet file: "
        "features, a model for each of two stores, evaluation, prediction, aggregates, the global model, its "
        "evaluation and its prediction. Both contenders are cold processes, timed from start to exit, and read the "
        "file through a view. Hanse runs the scripts as they stand, in a new workspace on disk.",
        "PySpark runs the same SQL text, `local[2]`. Every `CREATE TABLE` is cached in memory instead of written to "
        "disk; `CREATE MODEL` is `VectorAssembler` and `BisectingKMeans(k, seed, maxIter=20)`, with the same weights "
        "in the global model; `model_evaluate` is `ClusteringEvaluator` (the silhouette alone, where Hanse also gives "
        "Davies-Bouldin and inertia); `model_predict` is `transform`. MLlib is as pip installs it, without a native "
        "BLAS. "
        f"Settings: {settings}.",
        "MLlib gets every feature 1 higher. It opens a split in proportion to the centre's distance from zero, and the "
        "centre of standardised features is zero: given the features as they are it returns one cluster.",
    )


def _target(size: int, ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> Target:
    ratio = _wall(theirs).ratio_to(_wall(ours)) if theirs else None
    what = f"the whole story on {size:,} events: at least 25 times as fast as PySpark + MLlib"
    return Target(what, 25.0, ratio, at_least=True, unit="times")


def _wall(outcomes: Sequence[Outcome]) -> Timing:
    return Timing(tuple(o.wall_s for o in outcomes))


def _phases(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Median seconds by phase; ``start`` takes what the process needs beyond its phases, to load, stop and exit."""
    found = {p: statistics.median(o.result["phases"].get(p, 0.0) for o in outcomes) for p in PHASES}
    found["start"] = max(_wall(outcomes).median_s - sum(found[p] for p in PHASES[1:]), 0.0)
    return found


def _times(contenders: Mapping[str, Sequence[Outcome]]) -> Table:
    ours = _wall(contenders["Hanse"])
    mine = _phases(contenders["Hanse"])
    rows = []
    for name, outcomes in contenders.items():
        wall, phases = _wall(outcomes), _phases(outcomes)
        peak = max(o.peak_bytes for o in outcomes) if name == "Hanse" else None
        cells = (seconds(phases[p]) + _times_ours(name, phases[p], mine[p]) for p in PHASES)
        shown = f"{peak / 1e9:.2f} GB" if peak else "(a JVM of 4 GB)"
        rows.append((name, str(wall), f"{wall.ratio_to(ours):g}", *cells, shown))
    return Table(("contender", "wall time", "times Hanse's", "start and exit", *PHASES[1:], "peak memory"), tuple(rows))


def _times_ours(name: str, value: float, mine: float) -> str:
    return "" if name == "Hanse" or mine <= 0 else f" ({value / mine:.3g} times)"


def _found(contenders: Mapping[str, Sequence[Outcome]]) -> Table:
    names = sorted({name for outcomes in contenders.values() for name in outcomes[0].result["sizes"]})
    rows = []
    for contender, outcomes in contenders.items():
        result = outcomes[0].result
        sizes = (", ".join(f"{n:,}" for n in sorted(result["sizes"].get(n, ()), reverse=True)) for n in names)
        rows.append((contender, *sizes, ", ".join(f"{s:.4f}" for s in result["silhouettes"])))
    return Table(("contender", *names, "silhouettes"), tuple(rows), "What was found, as cluster sizes:")


def _chart(size: int, contenders: Mapping[str, Sequence[Outcome]]) -> Chart:
    phases = [_phases(outcomes) for outcomes in contenders.values()]
    series = {phase if phase != "start" else "start and exit": tuple(p[phase] for p in phases) for phase in PHASES}
    return Chart("story", "stacked", f"The whole story on {size:,} events", "seconds", series, tuple(contenders))
