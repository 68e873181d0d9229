"""Starting: how long ``import hanse`` and the first words of the command line take in a fresh process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.processes import run_command
from benchmarks.report import Measurement, Table, Target, Timing, seconds

__all__ = ["measure"]

_COMMANDS: dict[str, Sequence[str]] = {
    "`python -c pass`": ("-c", "pass"),
    "`import hanse`": ("-c", "import hanse"),
    "`hanse --help`": ("-m", "hanse.cli", "--help"),
    '`hanse sql "SELECT 1"`': ("-m", "hanse.cli", "sql", "SELECT 1"),
}
_AT_MOST_S = {"`import hanse`": 0.3, "`hanse --help`": 0.3}


def measure(bench: Bench) -> Measurement:
    """Each command in fresh processes, in turn."""
    found: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    skipped = []
    for number in range(4 if bench.quick else 12):
        for name, arguments in _COMMANDS.items():
            if name in found:
                try:
                    wall_s, _ = run_command([sys.executable, *arguments])
                except RuntimeError as error:
                    skipped.append(f"{name}: {str(error).strip().splitlines()[-1]}")
                    del found[name]
                    continue
                if number:  # the first one fills the disk's cache
                    found[name].append(wall_s)
    timings = {name: Timing(tuple(runs)) for name, runs in found.items()}
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
        tables=(Table(("command", "time"), tuple((name, str(timing)) for name, timing in timings.items())),),
        skipped=tuple(skipped),
    )
