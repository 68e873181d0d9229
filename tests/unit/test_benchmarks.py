"""The benchmarks' page, ratios and plan; nothing is timed here."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.page import render
from benchmarks.report import Chart, Machine, Measurement, Results, Table, Target, Timing, read, seconds, write
from benchmarks.story_plan import plan
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
    slower=("A peer is faster on blobs.",),
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
    ("value", "shown"), [(0.00712, "7.12 ms"), (0.0999, "99.9 ms"), (0.1, "0.1 s"), (41.26, "41.3 s")]
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
    assert "- A peer is faster on blobs." in page
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


def test_small_sizes_are_marked_and_no_peer_ahead_is_said() -> None:
    page = render(Results((replace(MEASUREMENT, quick=True, slower=()),)))
    assert "9.5 times | yes (small sizes) |" in page
    assert "nothing to quote" in page
    assert "Nowhere in this run." in page


def test_there_is_no_page_without_results() -> None:
    with pytest.raises(ValueError, match="no results"):
        render(Results())


def test_every_line_of_every_table_has_as_many_cells_as_its_header() -> None:
    lines = render(Results((MEASUREMENT,))).splitlines()
    tables = [line.replace("\\|", "").count("|") for line in lines if line.startswith("|")]
    assert tables == [4] * 5 + [3] * 3


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
