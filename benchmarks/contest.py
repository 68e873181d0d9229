"""What a contest shows: its rows of a table, where Hanse is behind, and how each contender's time grows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.bench import Contest
from benchmarks.processes import Outcome
from benchmarks.report import Chart, Slower, Table, Timing, exponent

__all__ = [
    "MLLIB",
    "OURS",
    "OURS_ON_SPARK",
    "behind",
    "growth",
    "left_out",
    "medians",
    "peak",
    "rows",
    "timing",
    "timings",
]

OURS, OURS_ON_SPARK, MLLIB = "Hanse", "Hanse on Spark", "MLlib"

_HEADER = ("contender", "time", "times Hanse's")


def timing(outcomes: Sequence[Outcome]) -> Timing:
    """What the contender timed."""
    return Timing(tuple(o.timed_s for o in outcomes))


def timings(contest: Contest) -> dict[str, Timing]:
    """Of all contenders.

    Raises:
        RuntimeError: Hanse has none; there is nothing to compare with.
    """
    if OURS not in contest.outcomes:
        raise RuntimeError(f"{OURS}: {contest.left_out.get(OURS, 'was not asked')}")
    return {name: timing(found) for name, found in contest.outcomes.items()}


def medians(contest: Contest) -> dict[str, float]:
    """Seconds of all contenders."""
    return {name: found.median_s for name, found in timings(contest).items()}


def peak(outcomes: Sequence[Outcome]) -> str:
    """The most memory that a run held."""
    return f"{max(o.peak_bytes for o in outcomes) / 1e9:.2f} GB"


def rows(
    case: str, contest: Contest, columns: Sequence[Callable[[Sequence[Outcome]], str]] = (peak,)
) -> Iterator[tuple[str, ...]]:
    """A row for each contender: case, contender, time, times Hanse's, and what the columns say about its outcomes."""
    found = timings(contest)
    for name, outcomes in contest.outcomes.items():
        ratio = found[name].ratio_to(found[OURS])
        yield (case, name, str(found[name]), f"{ratio:g}", *(column(outcomes) for column in columns))


def left_out(case: str, contest: Contest) -> Iterator[str]:
    """A sentence for each contender that was left out."""
    for name, why in contest.left_out.items():
        yield f"{case}, {name}: {why}."


def behind(case: str, times: Mapping[str, Timing]) -> Iterator[Slower]:
    """Every peer that took less time: than Hanse, and of those on Spark, than Hanse on Spark."""
    for ours, peers in ((OURS, [n for n in times if n != OURS]), (OURS_ON_SPARK, [n for n in times if MLLIB in n])):
        for peer in peers:
            if ours in times and peer != OURS_ON_SPARK and times[peer].median_s < times[ours].median_s:
                yield Slower(case, ours, peer, times[ours].median_s, times[peer].median_s)


def growth(
    name: str, title: str, unit: str, cells: Sequence[tuple[float, Mapping[str, float]]], of: str = "seconds"
) -> tuple[Table, Chart]:
    """How what each contender takes grows along an axis: the table has those that were at two places or more.

    Args:
        name: of the chart.
        title: of both.
        unit: what is counted along the axis.
        cells: where, and what each took there; ascending.
        of: what it took, as the chart's unit.
    """
    at: dict[str, list[float]] = {}
    values: dict[str, list[float]] = {}
    for where, took in cells:
        for contender, value in took.items():
            at.setdefault(contender, []).append(where)
            values.setdefault(contender, []).append(value)
    lines = []
    for contender, places in at.items():
        if len(places) < 2:
            continue
        fitted = (exponent(places, values[contender]), exponent(places[-2:], values[contender][-2:]))
        reach = " to ".join(f"{x:,g}" if x < 1e6 else f"{x:,.0f}" for x in sorted({places[0], places[-1]}))
        lines.append((contender, reach, *(f"{slope:.2f}" for slope in fitted if slope is not None)))
    table = Table(
        ("contender", unit, "exponent", "between the two largest"),
        tuple(lines),
        f"{title}: the exponent of {unit} that fits best; 1 is linear, 0 is constant.",
    )
    series = {contender: tuple(found) for contender, found in values.items()}
    return table, Chart(name, "lines", title, of, series, at={c: tuple(x) for c, x in at.items()}, at_unit=unit)


def ratio_of(key: str, outcomes: Sequence[Outcome], least: float) -> str:
    """The median and the largest of a result over ``least``."""
    found = [float(o.result[key]) / least for o in outcomes]
    return f"{statistics.median(found):.3f} (worst {max(found):.3f})"
