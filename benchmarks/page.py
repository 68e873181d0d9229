"""The page: results as Markdown, the same for the same results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.explanations import explain
from benchmarks.report import Machine, Measurement, Results, Table, Target, seconds

__all__ = ["render"]

_INTRODUCTION = """\
# Benchmarks

<!-- Written by `python -m benchmarks`; do not edit. -->

Hanse against the tools that one would use without it, each measured in the same run, on the same machine, with the same
rows. Times are medians, with the fastest and the slowest run behind them; *times Hanse's* above 1 means that Hanse is
faster."""

_REPRODUCE = """\
## How to reproduce

```sh
make bench                                        # everything, in about one and a half hours; needs Java 17 for Spark
.venv-bench/bin/python -m benchmarks --only train # one measurement
.venv-bench/bin/python -m benchmarks --quick      # small sizes, to see that it works; goes to build/benchmarks
.venv-bench/bin/python -m benchmarks --render     # measure nothing: the page anew from the results that there are
```

Without Java, what needs Spark is left out, and the page says so. The quality of clusters on UCI Online Retail needs
that public file as Parquet (`--online-retail FILE`). `benchmarks/results.json` holds the same numbers as data. Leave
the machine alone meanwhile: two cores that do something else as well measure that, too."""


def render(results: Results) -> str:
    """The whole page.

    Raises:
        ValueError: there are no results.
    """
    if not results.measurements:
        raise ValueError("there are no results to show")
    parts = [
        _INTRODUCTION,
        *_machines(results.measurements),
        "## What was to be reached",
        _targets(results.measurements),
        "## Where Hanse is slower",
        _slower(results.measurements),
        "## Where a peer's result is better",
        _behind(results.measurements),
    ]
    for measurement in results.measurements:
        parts += _section(measurement)
    return "\n\n".join([*parts, _REPRODUCE]) + "\n"


def _machines(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Each machine with what was measured on it; one sentence where all is from one machine and day."""
    groups: dict[tuple[str, str], list[str]] = {}
    for m in measurements:
        if m.machine is not None:
            groups.setdefault((_machine(m.machine), m.day), []).append(m.name)
    for (machine, day), names in groups.items():
        which = "Measured" if len(groups) == 1 else f"{', '.join(names)}: measured"
        yield f"{which} on {day}: {machine}."


def _machine(machine: Machine) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    cores = f"{machine.cores} core{'s' if machine.cores != 1 else ''}"
    return (
        f"{machine.processor}, {cores}, {machine.memory_bytes / 2**30:.0f} GiB of memory; {machine.system}; "
        f"{versions}; scikit-learn's BLAS: {machine.blas}"
    )


def _targets(measurements: Iterable[Measurement]) -> str:
    rows = [
        (f"[{target.what}](#{_anchor(m.title)})", _reached(target), _verdict(target, m))
        for m in measurements
        for target in m.targets
    ]
    return _table(Table(("target", "reached", ""), tuple(rows)))


def _reached(target: Target) -> str:
    return "not measured" if target.reached is None else f"{target.reached:g} {target.unit}".rstrip()


def _verdict(target: Target, measurement: Measurement) -> str:
    if target.met is None:
        return ""
    return ("yes" if target.met else "**no**") + (" (small sizes)" if measurement.quick else "")


def _slower(measurements: Iterable[Measurement]) -> str:
    """Every case where a peer took less time, by what explains it."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for measurement in measurements:
        for slower in measurement.slower:
            groups.setdefault(explain(slower), []).append(
                (
                    f"[{slower.case}](#{_anchor(measurement.title)})",
                    f"{slower.hanse} {'' if slower.ended else 'over '}{seconds(slower.hanse_s)}".strip(),
                    f"{slower.peer} {seconds(slower.peer_s)}",
                    f"{'' if slower.ended else 'under '}{slower.peer_s / slower.hanse_s:.3g}",
                )
            )
    header = ("case", "Hanse", "peer", "times Hanse's")
    parts = [f"{why}\n\n{_table(Table(header, tuple(rows)))}" for why, rows in groups.items()]
    return "\n\n".join(parts) if parts else "Nowhere in this run."


def _behind(measurements: Iterable[Measurement]) -> str:
    found = [f"- {line}" for m in measurements for line in m.behind]
    return "\n".join(found) if found else "Nowhere in this run."


def _section(measurement: Measurement) -> Iterator[str]:
    yield f"## {measurement.title}"
    if measurement.quick:
        yield "*Small sizes and few runs: this shows that it works, and is nothing to quote.*"
    yield from measurement.how
    for reason in measurement.skipped:
        yield f"*Left out: {reason}*"
    for table in measurement.tables:
        if table.caption:
            yield table.caption
        yield _table(table)
    for chart in measurement.charts:
        yield f"![{chart.title}](img/{chart.name}.svg)"


def _table(table: Table) -> str:
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -")
    return kept.replace(" ", "-")
