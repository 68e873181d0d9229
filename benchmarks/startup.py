"""Starting: how long imports and a first answer take in a fresh process, beside the peers'."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.processes import run_command
from benchmarks.report import Measurement, Slower, Table, Target, Timing, seconds
from benchmarks.spark_session import MASTER, missing_spark

__all__ = ["measure"]

_SPARK = (
    f"from pyspark.sql import SparkSession as S; s = S.builder.master('{MASTER}').getOrCreate(); "
    "s.sql('SELECT 1').collect(); s.stop()"
)


@dataclass(frozen=True)
class Command:
    """A command line.

    Args:
        arguments: of Python.
        beside: what of Hanse's it is compared with; None where it is compared with nothing.
        runs: at most; the first does not count.
    """

    arguments: Sequence[str]
    beside: str | None = None
    runs: int = 12


_IMPORT, _ANSWER = "`import hanse`", '`hanse sql "SELECT 1"`'
_COMMANDS: dict[str, Command] = {
    "`python -c pass`": Command(("-c", "pass")),
    _IMPORT: Command(("-c", "import hanse"), _IMPORT),
    "`import duckdb`": Command(("-c", "import duckdb"), _IMPORT),
    "`import sklearn.cluster`": Command(("-c", "import sklearn.cluster"), _IMPORT),
    "`import pyspark.sql`": Command(("-c", "import pyspark.sql"), _IMPORT),
    "`hanse --help`": Command(("-m", "hanse.cli", "--help")),
    _ANSWER: Command(("-m", "hanse.cli", "sql", "SELECT 1"), _ANSWER),
    "`duckdb.sql('SELECT 1')`": Command(("-c", "import duckdb; duckdb.sql('SELECT 1').fetchall()"), _ANSWER),
    "`SELECT 1` by PySpark": Command(("-c", _SPARK), _ANSWER, 4),
}
_AT_MOST_S = {_IMPORT: 0.3, "`hanse --help`": 0.3}


def measure(bench: Bench) -> Measurement:
    """Each command in fresh processes, in turn."""
    timings, skipped = _timings(bench.quick)
    bench.say("import: " + ", ".join(f"{name} {seconds(t.median_s)}" for name, t in timings.items()))
    return Measurement(
        name="import",
        title="Starting",
        how=("Fresh processes, from start to exit, Python's own start included.",),
        targets=tuple(
            Target(
                f"{name}: under {limit} s",
                limit,
                round(timings[name].median_s, 3) if name in timings else None,
                False,
                unit="s",
            )
            for name, limit in _AT_MOST_S.items()
        ),
        tables=(
            Table(
                ("command", "time", f"times that of {_IMPORT}", f"times that of {_ANSWER}"),
                tuple(_row(name, timings) for name in timings),
            ),
        ),
        slower=tuple(
            Slower(f"Starting: {ours}", "", name, timings[ours].median_s, found.median_s)
            for name, found in timings.items()
            if (ours := _COMMANDS[name].beside) in timings and ours and found.median_s < timings[ours].median_s
        ),
        skipped=tuple(skipped),
    )


def _timings(quick: bool) -> tuple[dict[str, Timing], list[str]]:
    """What each took, and who could not run."""
    found: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    skipped = []
    if missing := missing_spark():
        del found["`SELECT 1` by PySpark"]
        skipped.append(f"`SELECT 1` by PySpark: {missing}.")
    for number in range(4 if quick else 12):
        for name, command in _COMMANDS.items():
            if name not in found or number >= command.runs or (quick and number > 1 and command.runs < 12):
                continue
            try:
                wall_s, _ = run_command([sys.executable, *command.arguments])
            except RuntimeError as error:
                skipped.append(f"{name}: {str(error).strip().splitlines()[-1]}")
                del found[name]
                continue
            if number:  # the first one fills the disk's cache
                found[name].append(wall_s)
    return {name: Timing(tuple(runs)) for name, runs in found.items()}, skipped


def _row(name: str, timings: Mapping[str, Timing]) -> tuple[str, ...]:
    beside = _COMMANDS[name].beside
    ratios = (
        f"{timings[name].ratio_to(timings[ours]):g}" if beside == ours and ours in timings else ""
        for ours in (_IMPORT, _ANSWER)
    )
    return (name, str(timings[name]), *ratios)
