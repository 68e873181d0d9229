"""``python -m benchmarks [--only story,train] [--quick]``: measure, then write the results, the page and its plots."""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    detection,
    evaluate,
    federation_overhead,
    federation_quality,
    generate,
    memory,
    predict,
    quality,
    startup,
    story,
    train,
)
from benchmarks.bench import Bench
from benchmarks.machine import describe
from benchmarks.page import render
from benchmarks.plots import draw
from benchmarks.processes import ROOT
from benchmarks.report import Measurement, Results, read, write

_LEAST = 200_000
"""The smallest size of the story: of what ``--most`` leaves, no contest may be empty."""

MEASUREMENTS: dict[str, Callable[[Bench], Measurement]] = {
    "story": story.measure,
    "train": train.measure,
    "train_rows": train.measure_rows,
    "train_features": train.measure_features,
    "train_clusters": train.measure_clusters,
    "quality": quality.measure,
    "detection": detection.measure,
    "federation_quality": federation_quality.measure,
    "predict": predict.measure,
    "evaluate": evaluate.measure,
    "memory": memory.measure,
    "federation": federation_overhead.measure,
    "import": startup.measure,
    "generate": generate.measure,
}
"""What can be measured, in the order of the page."""


def main() -> None:
    """Measure what the arguments ask for."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # contenders are ended, data removed
    target: Path = arguments.into or (ROOT / "build" / "benchmarks" if arguments.quick else ROOT)
    if arguments.render:
        _publish([], target)
        return
    names: Sequence[str] = arguments.only or list(MEASUREMENTS)
    machine = describe()
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    done: list[Measurement] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="hanse-benchmarks-", dir=arguments.scratch) as folder:
        bench = Bench(Path(folder), arguments.quick, _existing(arguments.online_retail), arguments.most)
        for name in names:
            try:
                found = MEASUREMENTS[name](bench)
            except RuntimeError as error:  # a contender failed; the others may still be measured
                failed.append(name)
                bench.say(f"{name}: {error}")
                continue
            done.append(replace(found, quick=arguments.quick, day=day, machine=machine))
            _publish(done, target)
    for measurement in done:
        for goal in measurement.targets:
            verdict = {None: "not measured", True: "yes", False: "NO"}[goal.met]
            print(f"{verdict:>12}  {goal.what}: {goal.reached} {goal.unit}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the page keeps what it had about them")
    print(f"wrote {target / 'docs' / 'benchmarks.md'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_names, help=f"comma-separated, of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes and few runs; goes to build/benchmarks")
    parser.add_argument("--render", action="store_true", help="measure nothing; write the page and its plots anew")
    parser.add_argument("--most", type=int, help="leave out larger sizes: events of the story, rows of train_rows")
    parser.add_argument("--into", type=Path, help="folder that gets results.json, the page and its plots")
    parser.add_argument(
        "--scratch", type=Path, help="folder for up to 10 GB of data meanwhile; the system's by default"
    )
    parser.add_argument(
        "--online-retail",
        type=Path,
        default=ROOT.parent / "shared" / "data" / "online_retail.parquet",
        help="the UCI Online Retail data as Parquet",
    )
    arguments = parser.parse_args()
    if arguments.most is not None and arguments.most < _LEAST:
        parser.error(f"--most {arguments.most}: need {_LEAST} or more, the smallest size of the story")
    return arguments


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    return names


def _existing(path: Path) -> Path | None:
    return path.resolve() if path.exists() else None


def _publish(done: Sequence[Measurement], target: Path) -> None:
    """Put what was measured in place of what was measured before, and write everything anew."""
    stored = target / "benchmarks" / "results.json"
    before = read(stored)
    results: Results = before.updated(done, list(MEASUREMENTS))
    write(stored, results)
    page = target / "docs" / "benchmarks.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    pictures = page.parent / "img"
    for gone in before.charts().keys() - results.charts().keys():
        (pictures / f"{gone}.svg").unlink(missing_ok=True)
    for chart in results.charts().values():
        draw(chart, pictures)
    page.write_text(render(results))


if __name__ == "__main__":
    main()
