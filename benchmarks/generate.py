"""The demo's generator: how fast it writes events."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.report import Measurement, Table, Target, Timing, seconds

__all__ = ["demo_events", "measure", "write_demo"]


def write_demo(folder: str, events: int, seed: int) -> dict[str, Any]:
    """Write the demo's events and ground truth."""
    from hanse import demo

    started = time.perf_counter()
    written = demo.write(folder, events, seed)
    return {"write_s": time.perf_counter() - started, "size_bytes": written.events.stat().st_size}


def demo_events(bench: Bench, events: int) -> Path:
    """The demo's events; written once."""
    from hanse import demo

    folder = bench.folder / f"demo_{events}"
    if not folder.exists():
        bench.run(write_demo, folder=str(folder), events=events, seed=7)
    return folder / demo.EVENTS_FILE


def measure(bench: Bench) -> Measurement:
    """Fresh processes; only the writing is timed."""
    events, runs = (200_000, 2) if bench.quick else (2_000_000, 5)
    outcomes = [
        bench.run(write_demo, folder=str(bench.folder / "generated"), events=events, seed=seed) for seed in range(runs)
    ]
    timing = Timing(tuple(o.result["write_s"] for o in outcomes))
    bench.say(f"generate: {seconds(timing.median_s)}")
    size = max(o.result["size_bytes"] for o in outcomes)
    limit = 10.0
    return Measurement(
        name="generate",
        title="The demo's events",
        how=(f"`hanse.demo.write` of {events:,} nested events to one Parquet file, {runs} seeds.",),
        targets=(
            Target(f"{events:,} demo events: at most {limit:g} s", limit, round(timing.median_s, 2), False, unit="s"),
        ),
        tables=(
            Table(
                ("events", "time", "events a second", "file", "peak of the process"),
                (
                    (
                        f"{events:,}",
                        str(timing),
                        f"{events / timing.median_s:,.0f}",
                        f"{size / 1e6:.0f} MB",
                        f"{max(o.peak_bytes for o in outcomes) / 1e9:.2f} GB",
                    ),
                ),
            ),
        ),
    )
