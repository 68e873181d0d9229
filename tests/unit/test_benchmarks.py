"""The benchmarks' page, ratios and plan; nothing is timed here."""

from __future__ import annotations

import datetime
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from benchmarks.bench import Bench, Contest
from benchmarks.contest import behind, growth, left_out, rows, timings
from benchmarks.evaluators import closed_form_silhouette
from benchmarks.explanations import explain
from benchmarks.page import render
from benchmarks.processes import Outcome, run_command
from benchmarks.report import (
    Chart,
    Machine,
    Measurement,
    Results,
    Slower,
    Table,
    Target,
    Timing,
    exponent,
    read,
    seconds,
    write,
)
from benchmarks.story import _targets as story_targets
from benchmarks.story_plan import plan
from benchmarks.train import Cell
from benchmarks.train import _hopeless as hopeless
from benchmarks.train import _slower as slower
from benchmarks.trainers import numpy_train
from hanse import demo

MACHINE = Machine("A Processor", 2, 24 * 2**30, "Linux 6, Python 3.11", "openblas", {"duckdb": "2.0.1"})
MEASUREMENT = Measurement(
    name="train",
    title="Training, on 1M rows",
    how=("What was done.",),
    targets=(
        Target("at least 8 times as fast", 8.0, 9.5, at_least=True, unit="times"),
        Target("at most 2 times a copy", 2.0, 2.5, at_least=False, unit="times"),
        Target("needs Java", 25.0, None, at_least=True, unit="times"),
    ),
    tables=(Table(("a", "b"), (("1", "x|y"),), "A caption:"),),
    charts=(Chart("train", "groups", "A picture", "seconds", {"Hanse": (1.0,)}, ("k = 3",)),),
    slower=(Slower("Training: 100,000 rows, 4 features, k = 3", "Hanse", "scikit-learn", 0.08, 0.04),),
    behind=("A peer finds more on blobs.",),
    skipped=("there is no Java.",),
    day="2026-01-02",
    machine=MACHINE,
)


# -- ratios ------------------------------------------------------------------------------------


def test_a_ratio_is_of_medians_to_three_digits() -> None:
    peer, ours = Timing((9.0, 3.0, 100.0)), Timing((7.0, 1.0, 0.1))
    assert peer.ratio_to(ours) == 9.0
    assert ours.ratio_to(peer) == 0.111
    assert Timing((2.0, 4.0)).median_s == 3.0
    assert Timing((12345.0,)).ratio_to(Timing((1.0,))) == 12300.0


def test_a_timing_shows_its_median_its_range_and_how_often_it_ran() -> None:
    assert str(Timing((0.02, 0.5, 0.0712))) == "71.2 ms (20 ms to 0.5 s, 3 runs)"
    assert str(Timing((2.0,))) == "2 s (1 run)"


def test_nothing_timed_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was timed"):
        Timing(())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00712, "7.12 ms"), (0.0999, "99.9 ms"), (0.1, "0.1 s"), (41.26, "41.3 s"), (1234.5, "1,230 s")],
)
def test_seconds_have_three_digits(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("reached", "at_least", "met"),
    [(25.0, True, True), (24.9, True, False), (25.0, False, True), (25.1, False, False), (None, True, None)],
)
def test_a_target_is_met_on_its_own_side(reached: float | None, at_least: bool, met: bool | None) -> None:
    assert Target("t", 25.0, reached, at_least).met is met


def test_a_table_refuses_a_row_that_does_not_fit_its_header() -> None:
    with pytest.raises(ValueError, match="1 cells under a header of 2"):
        Table(("a", "b"), (("1",),))


# -- results -----------------------------------------------------------------------------------


def test_results_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    assert read(path) == Results()
    write(path, Results((MEASUREMENT,)))
    assert read(path) == Results((MEASUREMENT,))
    first = path.read_bytes()
    write(path, read(path))
    assert path.read_bytes() == first


def test_a_new_measurement_takes_the_place_of_the_old_one_in_the_pages_order() -> None:
    story, train = replace(MEASUREMENT, name="story"), MEASUREMENT
    again = replace(train, title="again")
    merged = Results((train,)).updated([again, story], ["story", "train", "memory"])
    assert merged.measurements == (story, again)


# -- the page ----------------------------------------------------------------------------------


def test_the_page_says_what_was_reached_and_what_was_not() -> None:
    page = render(Results((MEASUREMENT,)))
    assert "| [at least 8 times as fast](#training-on-1m-rows) | 9.5 times | yes |" in page
    assert "| [at most 2 times a copy](#training-on-1m-rows) | 2.5 times | **no** |" in page
    assert "| [needs Java](#training-on-1m-rows) | not measured |  |" in page
    assert "- A peer finds more on blobs." in page
    assert "*Left out: there is no Java.*" in page
    assert "| 1 | x\\|y |" in page
    assert "![A picture](img/train.svg)" in page


def test_the_page_names_the_machine_once_or_what_was_measured_where() -> None:
    page = render(Results((MEASUREMENT, replace(MEASUREMENT, name="story"))))
    assert page.count("A Processor") == 1
    assert "Measured on 2026-01-02: A Processor, 2 cores, 24 GiB of memory; Linux 6, Python 3.11; duckdb 2.0.1" in page
    later = replace(MEASUREMENT, name="story", day="2026-01-03")
    page = render(Results((MEASUREMENT, later)))
    assert "train: measured on 2026-01-02" in page
    assert "story: measured on 2026-01-03" in page


def test_the_page_lists_where_hanse_is_slower_under_the_reason() -> None:
    unknown = Slower("Starting: something", "Hanse", "a peer", 2.0, 1.0)
    page = render(Results((replace(MEASUREMENT, slower=(*MEASUREMENT.slower, unknown)),)))
    case = "[Training: 100,000 rows, 4 features, k = 3](#training-on-1m-rows)"
    assert f"| {case} | Hanse 80 ms | scikit-learn 40 ms | 0.5 |" in page
    assert "| [Starting: something](#training-on-1m-rows) | Hanse 2 s | a peer 1 s | 0.5 |" in page
    assert page.index("some tens of milliseconds") < page.index(case) < page.index("Not explained yet:")
    assert explain(unknown) == "Not explained yet:"


def test_small_sizes_are_marked_and_no_peer_ahead_is_said() -> None:
    page = render(Results((replace(MEASUREMENT, quick=True, slower=(), behind=()),)))
    assert "9.5 times | yes (small sizes) |" in page
    assert "nothing to quote" in page
    assert page.count("Nowhere in this run.") == 2


def test_there_is_no_page_without_results() -> None:
    with pytest.raises(ValueError, match="no results"):
        render(Results())


def test_every_line_of_every_table_has_as_many_cells_as_its_header() -> None:
    lines = render(Results((MEASUREMENT,))).splitlines()
    tables = [line.replace("\\|", "").count("|") for line in lines if line.startswith("|")]
    assert tables == [4] * 5 + [5] * 3 + [3] * 3


# -- contests ----------------------------------------------------------------------------------


def _ran(*timed_s: float, peak_bytes: int = 10**9) -> list[Outcome]:
    return [Outcome(9.0, peak_bytes, {"timed_s": t}) for t in timed_s]


def test_a_contest_shows_everyone_beside_hanse() -> None:
    contest = Contest({"Hanse": _ran(1.0, 3.0, 2.0), "loop": _ran(1.0)}, {"MLlib": "there was no memory"})
    assert list(rows("1M", contest)) == [
        ("1M", "Hanse", "2 s (1 s to 3 s, 3 runs)", "1", "1.00 GB"),
        ("1M", "loop", "1 s (1 run)", "0.5", "1.00 GB"),
    ]
    assert list(left_out("1M", contest)) == ["1M, MLlib: there was no memory."]
    assert list(behind("1M", timings(contest))) == [Slower("1M", "Hanse", "loop", 2.0, 1.0)]


def test_hanse_on_spark_is_held_against_those_on_spark_alone() -> None:
    times = {
        name: Timing((t,)) for name, t in {"Hanse": 2.0, "Hanse on Spark": 8.0, "NumPy": 3.0, "MLlib": 7.0}.items()
    }
    assert [(s.hanse, s.peer) for s in behind("1M", times)] == [("Hanse on Spark", "MLlib")]


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("it did not end within 300 s", True),
        ("the system killed it: most likely there was not enough memory", False),
    ],
)
def test_mllib_is_ahead_where_hanse_on_spark_was_stopped(why: str, told: bool) -> None:
    cell = Cell("customers", 1_000_000, features=64)
    stopped_ones = frozenset({"Hanse on Spark"} if told else ())
    contest = Contest({"Hanse": _ran(20.0), "MLlib": _ran(60.0)}, {"Hanse on Spark": why}, stopped_ones)
    case = "Training: 1,000,000 rows, 64 features, k = 3"
    stopped = Slower(case, "Hanse on Spark", "MLlib", 300.0, 60.0, ended=False)
    assert slower(cell, contest) == ([stopped] if told else [])
    page = render(Results((replace(MEASUREMENT, slower=(stopped,)),)))
    assert "| Hanse on Spark over 300 s | MLlib 60 s | under 0.2 |" in page
    assert "Not explained" not in page


def test_a_contest_without_hanse_is_no_contest() -> None:
    with pytest.raises(RuntimeError, match="Hanse: it did not end within 300 s"):
        timings(Contest({"loop": _ran(1.0)}, {"Hanse": "it did not end within 300 s"}))


def test_the_exponent_is_that_of_the_law() -> None:
    at = (10.0, 100.0, 1000.0, 10_000.0)
    assert exponent(at, [3.0 * x**1.5 for x in at]) == 1.5
    assert exponent(at, [7.0] * 4) == 0.0
    assert exponent((5.0, 5.0), (1.0, 2.0)) is None


def test_growth_is_fitted_where_a_contender_was() -> None:
    cells = [
        (10.0, {"Hanse": 1.0, "loop": 1.0}),
        (100.0, {"Hanse": 2.0, "loop": 10.0}),
        (1_000_000.0, {"Hanse": 4.0, "late": 1.0}),
    ]
    table, chart = growth("c", "t", "rows", cells)
    assert table.rows[0][:2] == ("Hanse", "10 to 1,000,000")
    assert table.rows[1] == ("loop", "10 to 100", "1.00", "1.00")
    assert len(table.rows) == 2, "one point has no slope"
    assert chart.at == {"Hanse": (10.0, 100.0, 1e6), "loop": (10.0, 100.0), "late": (1e6,)}
    assert chart.series["loop"] == (1.0, 10.0)


def test_who_does_not_end_is_stopped() -> None:
    with pytest.raises(RuntimeError, match=r"did not end within 0\.2 s"):
        run_command([sys.executable, "-c", "import threading; threading.Event().wait()"], 0.2)


def test_who_would_take_too_long_is_not_asked() -> None:
    small, large = Cell("customers", 1_000_000), Cell("customers", 10_000_000, clusters=6)
    contest = Contest({"Hanse": _ran(400.0), "loop": _ran(16.0), "quick": _ran(14.0)}, {"MLlib": "no memory"})
    told = hopeless(contest, small, large)
    assert told.left_out == {
        "loop": "expected to take 320 s, by what it took at 1,000,000 rows, 4 features, k = 3",
        "MLlib": "no memory",
    }
    assert told.too_slow == {"loop"}


def test_sizes_above_the_most_are_left_out_and_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, False, None, most=2_000_000)
    assert bench.small_enough((200_000, 2_000_000, 20_000_000)) == (200_000, 2_000_000)
    assert list(bench.too_large((200_000, 2_000_000, 20_000_000), "events")) == [
        "20,000,000 events were not measured this time."
    ]
    assert replace(bench, most=None).small_enough((20_000_000,)) == (20_000_000,)


def test_who_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.npy")
    rows_of = tmp_path / "rows.npy"
    np.save(rows_of, np.array([[0.0], [1.0], [10.0], [11.0]]))
    contest = Bench(tmp_path, True, None).interleaved(
        {
            "broken": (numpy_train, {"array": missing, "clusters": 2}),
            "loop": (numpy_train, {"array": str(rows_of), "clusters": 2}),
        },
        3,
        patience_s=0.0,
        seeded=True,
    )
    assert [len(found) for found in contest.outcomes.values()] == [1], "patience is at an end after one run"
    assert contest.outcomes["loop"][0].result["inertia"] == pytest.approx(1.0)
    assert contest.left_out == {"broken": f"FileNotFoundError: [Errno 2] No such file or directory: '{missing}'"}
    assert contest.too_slow == frozenset()


def test_who_takes_too_long_is_stopped_and_told_apart(tmp_path: Path) -> None:
    missing = {"array": str(tmp_path / "missing.npy"), "clusters": 2}
    contest = Bench(tmp_path, True, None).interleaved({"loop": (numpy_train, missing)}, 1, limit_s=0.01)
    assert contest.left_out == {"loop": "it did not end within 0.01 s"}
    assert contest.too_slow == {"loop"}


def test_the_loop_finds_the_clusters_that_scikit_learn_finds(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    points = np.concatenate([random.normal(at, 1.0, (200, 2)) for at in (0.0, 10.0, 30.0)])
    np.save(tmp_path / "rows.npy", points)
    found = numpy_train(str(tmp_path / "rows.npy"), clusters=3, seed=0)
    assert found["inertia"] == pytest.approx(KMeans(3, n_init=5, random_state=0).fit(points).inertia_, rel=1e-9)


def test_the_closed_form_is_the_silhouette_of_all_pairs() -> None:
    random = np.random.default_rng(5)
    points = random.normal(size=(60, 3))
    labels = np.append(np.arange(59) % 3, 3).astype(np.int32)
    pairs = silhouette_score(points, labels, metric="sqeuclidean")
    assert closed_form_silhouette(points, labels) == pytest.approx(pairs, rel=1e-12), "one cluster has a single row"


# -- the story ---------------------------------------------------------------------------------


def _told(*sizes: int) -> list[Outcome]:
    return [Outcome(9.0, 10**9, {"phases": {}, "sizes": {"m": list(sizes)}, "silhouettes": [0.5]})]


@pytest.mark.parametrize(("on_spark", "differ"), [((7, 90, 3), 0.0), ((7, 89, 4), 1.0)])
def test_the_story_counts_models_whose_clusters_differ_between_engines(
    on_spark: tuple[int, ...], differ: float
) -> None:
    contest = Contest({"Hanse": _told(90, 7, 3), "Hanse on Spark": _told(*on_spark)}, {})
    faster, same = story_targets(100, {100: contest})
    assert (same.reached, same.met) == (differ, not differ)
    assert faster.reached is None, "nobody else told it"


# -- the story for another engine --------------------------------------------------------------


def test_the_plan_holds_every_statement_of_the_story() -> None:
    steps = plan(demo.story()[:8], {"start_date": demo.START_DATE, "end_date": demo.END_DATE})
    done = [step["do"] for step in steps]
    assert [done.count(what) for what in ("train", "evaluate", "predict")] == [3, 4, 3]
    assert [step["model"] for step in steps if step["do"] == "train"] == [
        "comfort_wear_anomalies",
        "sporty_style_anomalies",
        "global_anomalies",
    ]
    text = " ".join(step["query"] for step in steps)
    assert "$" not in text
    assert "--" not in text
    assert f"DATE '{demo.END_DATE}'" in text
    tables = {step["table"] for step in steps if "table" in step}
    assert {"customer_features", "store_features", "comfort_wear_clusters", "store_aggregates"} <= tables


def test_the_plan_refuses_a_statement_about_models_that_it_does_not_know(tmp_path: Path) -> None:
    script = tmp_path / "odd.sql"
    script.write_text("SELECT count(*) FROM model_predict(m, 1, SELECT 1)")
    with pytest.raises(ValueError, match="the plan does not know: SELECT count"):
        plan([script], {"start_date": datetime.date(2025, 1, 1)})
