"""What a measurement gives: targets, tables and charts as plain data, and the ratios between contenders."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

__all__ = [
    "Chart",
    "Machine",
    "Measurement",
    "Results",
    "Slower",
    "Table",
    "Target",
    "Timing",
    "exponent",
    "read",
    "seconds",
    "write",
]


@dataclass(frozen=True)
class Timing:
    """The same work, timed several times.

    Args:
        runs_s: seconds of each run.

    >>> Timing((2.0, 1.0, 6.0)).ratio_to(Timing((1.0, 0.5)))
    2.67
    """

    runs_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.runs_s:
            raise ValueError("no runs: nothing was timed")

    @property
    def median_s(self) -> float:
        """The middle run."""
        return statistics.median(self.runs_s)

    def ratio_to(self, other: Timing) -> float:
        """How many times as long as ``other`` this took, by the medians; to three digits."""
        return float(f"{self.median_s / other.median_s:.3g}")

    def __str__(self) -> str:
        low, high = min(self.runs_s), max(self.runs_s)
        if len(self.runs_s) == 1:
            return f"{seconds(self.median_s)} (1 run)"
        return f"{seconds(self.median_s)} ({seconds(low)} to {seconds(high)}, {len(self.runs_s)} runs)"


def seconds(value: float) -> str:
    """Seconds to three digits.

    >>> seconds(0.00712), seconds(1.5), seconds(61.26), seconds(1234.5)
    ('7.12 ms', '1.5 s', '61.3 s', '1,230 s')
    """
    if value >= 1e3:
        return f"{float(f'{value:.3g}'):,.0f} s"
    return f"{value * 1e3:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def exponent(at: Sequence[float], values: Sequence[float]) -> float | None:
    """How values grow: the slope of the line through their logarithms with least squares; None for a single point.

    >>> exponent((1, 10, 100), (0.5, 5.0, 50.0)), exponent((2, 4), (3.0, 12.0)), exponent((2,), (3.0,))
    (1.0, 2.0, None)
    """
    if len(set(at)) < 2:
        return None
    slope, _ = statistics.linear_regression([math.log(x) for x in at], [math.log(y) for y in values])
    return float(f"{slope:.3g}")


@dataclass(frozen=True)
class Target:
    """What was to be reached, and what was.

    Args:
        what: in words, with the number that is wanted.
        wanted: the number.
        reached: None where it could not be measured.
        at_least: whether more is better; else ``wanted`` is the most that is allowed.
        unit: written behind the number reached.
    """

    what: str
    wanted: float
    reached: float | None
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it was reached; None where it could not be measured."""
        if self.reached is None:
            return None
        return self.reached >= self.wanted if self.at_least else self.reached <= self.wanted


@dataclass(frozen=True)
class Table:
    """Rows of text under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"row {row}: {len(row)} cells under a header of {len(self.header)}")


@dataclass(frozen=True)
class Chart:
    """A plot.

    Args:
        name: of its file, without an ending.
        kind: ``stacked``: a bar for each label, stacked from the series; ``groups``: bars side by side; ``lines``:
            a line for each series over ``at``, both axes logarithmic, named with its exponent.
        title: what it shows.
        unit: of the values.
        labels: of the bars.
        series: values by name.
        at: for lines, where the values stand.
        at_unit: of ``at``.
    """

    name: str
    kind: str
    title: str
    unit: str
    series: dict[str, tuple[float, ...]]
    labels: tuple[str, ...] = ()
    at: dict[str, tuple[float, ...]] | None = None
    at_unit: str = ""


@dataclass(frozen=True)
class Slower:
    """Hanse behind a peer.

    Args:
        case: what both did, as ``Training: 1,000,000 rows, 4 features, k = 8``.
        hanse: which Hanse, as ``Hanse on Spark``.
        peer: who was faster.
        hanse_s: median seconds; of one that was stopped, how long it had.
        peer_s: median seconds.
        ended: whether Hanse was not stopped.
    """

    case: str
    hanse: str
    peer: str
    hanse_s: float
    peer_s: float
    ended: bool = True


@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Args:
        processor: its model.
        cores: that this process may use.
        memory_bytes: in all.
        system: kernel and Python, by name and version.
        blas: what NumPy multiplies matrices with.
        versions: of the libraries.
    """

    processor: str
    cores: int
    memory_bytes: int
    system: str
    blas: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Measurement:
    """One thing measured.

    Args:
        name: as ``--only`` takes it.
        title: of its section.
        how: what was done, in sentences.
        targets: what was to be reached.
        tables: the numbers.
        charts: pictures of them.
        slower: where a peer is faster.
        behind: where a peer's result is better, in sentences.
        skipped: what could not be measured, and why.
        quick: whether the sizes are too small to be quoted.
        day: when.
        machine: where.
    """

    name: str
    title: str
    how: tuple[str, ...]
    targets: tuple[Target, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    slower: tuple[Slower, ...] = ()
    behind: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    quick: bool = False
    day: str = ""
    machine: Machine | None = None


@dataclass(frozen=True)
class Results:
    """All measurements, in the order of the page."""

    measurements: tuple[Measurement, ...] = ()

    def charts(self) -> dict[str, Chart]:
        """All charts by name."""
        return {chart.name: chart for measurement in self.measurements for chart in measurement.charts}

    def updated(self, new: Sequence[Measurement], order: Sequence[str]) -> Results:
        """These with new ones in place of older ones of the same name, sorted by ``order``."""
        found = {m.name: m for m in (*self.measurements, *new)}
        return Results(tuple(found[name] for name in order if name in found))


def read(path: Path) -> Results:
    """The results of an earlier run; none where there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def write(path: Path, results: Results) -> None:
    """Write results as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
