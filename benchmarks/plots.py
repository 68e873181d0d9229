"""Charts as SVG files by matplotlib; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import Chart, exponent, seconds

__all__ = ["draw"]

_COLOURS = ("#0f766e", "#f59e0b", "#b45309", "#64748b", "#334155", "#0ea5e9", "#a21caf", "#65a30d", "#e11d48")
_INK = "#334155"
_BESIDE = 5
"""With more series than this the legend stands beside the picture."""


def draw(chart: Chart, folder: Path) -> Path:
    """Draw a chart into ``folder``.

    Raises:
        ValueError: a kind of chart that there is not.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    if chart.kind not in _KINDS:
        raise ValueError(f"chart {chart.name}: kind {chart.kind!r}; there are {', '.join(_KINDS)}")
    style = {
        "svg.hashsalt": chart.name,
        "font.size": 10,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
        _KINDS[chart.kind](axes, chart)
        axes.set_title(chart.title, loc="left", fontweight="bold")
        heading = "contender: exponent" if chart.kind == "lines" else None
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axes.legend(frameon=False, fontsize=9, title=heading, **(place if len(chart.series) > _BESIDE else {}))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{chart.name}.svg"
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        pyplot.close(figure)
    text = path.read_text()
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")
    return path


def _coloured(chart: Chart) -> Iterator[tuple[tuple[str, tuple[float, ...]], str]]:
    """Each series with its colour.

    Raises:
        ValueError: more series than colours.
    """
    if len(chart.series) > len(_COLOURS):
        raise ValueError(f"chart {chart.name}: {len(chart.series)} series, and there are {len(_COLOURS)} colours")
    return zip(chart.series.items(), _COLOURS, strict=False)


def _stacked(axes: Any, chart: Chart) -> None:
    left = [0.0] * len(chart.labels)
    for (name, values), colour in _coloured(chart):
        axes.barh(chart.labels, values, left=left, label=name, color=colour, height=0.55)
        left = [a + b for a, b in zip(left, values, strict=True)]
    for position, total in enumerate(left):
        axes.annotate(seconds(total), (total, position), xytext=(6, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.12 * max(left))
    axes.set_xlabel(chart.unit)
    axes.invert_yaxis()


def _groups(axes: Any, chart: Chart) -> None:
    width = 0.8 / len(chart.series)
    for number, ((name, values), colour) in enumerate(_coloured(chart)):
        at = [position + (number - (len(chart.series) - 1) / 2) * width for position in range(len(chart.labels))]
        bars = axes.bar(at, values, width=0.92 * width, label=name, color=colour)
        axes.bar_label(bars, [seconds(v) for v in values], fontsize=8, padding=2)
    axes.set_xticks(range(len(chart.labels)), chart.labels)
    axes.set_yscale("log")
    axes.set_ylabel(chart.unit)
    axes.margins(y=0.2)


def _lines(axes: Any, chart: Chart) -> None:
    for (name, values), colour in _coloured(chart):
        at = (chart.at or {})[name]
        slope = exponent(at, values)
        label = name if slope is None else f"{name}: {slope:.2f}"
        axes.plot(at, values, marker="o", label=label, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(chart.at_unit)
    axes.set_ylabel(chart.unit)
    axes.grid(alpha=0.25)


_KINDS = {"stacked": _stacked, "groups": _groups, "lines": _lines}
