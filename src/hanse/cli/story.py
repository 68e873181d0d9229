"""``hanse demo``: makes up the events, copies the scripts, runs them and shows what they find."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hanse import demo
from hanse.cli.report import told
from hanse.cli.scripts import FailedScript, Script, read_script
from hanse.cli.terminal import TrainingStatus, stderr_console, stdout_console, warn
from hanse.errors import HanseError, UsageError, WorkspaceError

if TYPE_CHECKING:
    from hanse.cli.commands import Place
    from hanse.cli.formats import Writer
    from hanse.session import Session
    from hanse.types import Parameters, Progress

__all__ = ["copy_scripts", "headings", "tell"]

_DATA = "demo"
_STORY = "story"
_REPORT = "report.html"
_STEP = re.compile(r"step (\d+) of (\d+): (.*)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[^.][.!?]) +(?=[A-Z$])")


def tell(place: Place, events: int, seed: int, rows: int) -> None:
    """Run the demo in a workspace; running it again replaces its tables and models.

    Raises:
        UsageError: too few events, or the workspace holds events of its own.
        FailedScript: a script that was edited fails.
    """
    path = place.path
    if path is None:
        raise UsageError("the demo needs a folder for its data and scripts: name one with --workspace")
    from hanse.cli.tables import Tables

    started = time.perf_counter()
    with place.open() as session:
        _refuse_other_events(session, path)
        _say(f"Making up {events:,} events of two stores (seed {seed})")
        with _generation() as progress:
            written = demo.write(path / _DATA, events, seed, progress)
        session.load(demo.EVENTS_TABLE, [written.events])
        session.load(demo.PLANTED_TABLE, [written.planted])
        scripts, edited = copy_scripts(demo.story(), path / _STORY)
        for name in edited:
            warn(f"{path / _STORY / name} was edited: run as it is; delete it to get the original back")
        parameters: Parameters = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
        for script in scripts:
            _run(session, script, parameters, Tables(rows))
        reported = _report(session, path / _REPORT)
    _farewell(path, time.perf_counter() - started, reported=reported)


def _refuse_other_events(session: Session, path: Path) -> None:
    """Real events under the same name must not be replaced by made-up ones."""
    made_here = (path / _DATA / demo.EVENTS_FILE).exists()
    if not made_here and session.engine.kind([demo.EVENTS_TABLE]) is not None:
        what = f"workspace {path} holds a table {demo.EVENTS_TABLE} that the demo did not make"
        raise UsageError(f"{what}: choose another folder with --workspace")


def copy_scripts(originals: Sequence[Path], folder: Path) -> tuple[list[Script], list[str]]:
    """Copy the story's scripts for the user to edit; scripts that differ from theirs are left alone.

    Args:
        originals: in the order in which they run.
        folder: made where it is missing.

    Returns:
        the scripts as they stand in ``folder``, and the names of those that were edited.

    Raises:
        WorkspaceError: the folder cannot be written.
        UsageError: a script there cannot be read.
    """
    edited = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for original in originals:
            copy = folder / original.name
            data = original.read_bytes()
            if not copy.exists():
                copy.write_bytes(data)
            elif copy.read_bytes() != data:
                edited.append(original.name)
    except OSError as error:
        raise WorkspaceError(f"cannot write the story's scripts into {folder}: {error.strerror}") from error
    return [read_script(str(folder / original.name)) for original in originals], edited


def _run(session: Session, script: Script, parameters: Parameters, writer: Writer) -> None:
    title, by_statement = headings(script)
    _say(f"\n{title}", bold=True)
    with TrainingStatus() as status:
        try:
            results = session.run(script.text, parameters, progress=status)
            for heading, result in zip(by_statement, results, strict=True):
                status.stop()
                if result.kind == "select":
                    _say(f"\n{heading}" if heading else "")
                for warning in result.warnings:
                    warn(warning)
                writer.write(result.statement, result)
        except HanseError as error:
            raise FailedScript(error, script) from error


def _report(session: Session, path: Path) -> bool:
    """Both stores against the global model, in the units of what customers did."""
    chosen = (
        "SELECT z.*, f.avg_order_value, f.total_orders, f.customer_lifetime, f.days_since_last_purchase\n"
        "FROM store_features AS z\n"
        "JOIN customer_features AS f ON z.customer_id = f.customer_id AND z.store_id = f.store_id\n"
        "WHERE z.store_id = '{}'"
    )
    try:
        with TrainingStatus() as status:
            report = session.report(
                ["comfort_wear_anomalies", "sporty_style_anomalies"],
                path,
                against="global_anomalies",
                select=[chosen.format(store.store_id) for store in demo.STORES],
                progress=status,
            )
    except HanseError as error:  # a script that was edited may leave other models or tables
        warn(f"no report: {error}")
        return False
    _say(f"\n{told(report, path)}", bold=True)
    return True


def headings(script: Script) -> tuple[str, list[str]]:
    """What a script's comments say: a title, and one line for each statement (empty where there is no comment).

    Raises:
        FailedScript: the script cannot be parsed.
    """
    from hanse.sql.parser import parse

    lines = script.text.splitlines()
    try:
        statements = parse(script.text)
    except HanseError as error:
        raise FailedScript(error, script) from error
    first = lines[0].removeprefix("--").strip() if lines and lines[0].startswith("--") else ""
    step = _STEP.search(first)
    title = f"Step {step[1]} of {step[2]}: {step[3]}" if step else first
    return f"{title or Path(script.name).stem}  [{Path(script.name).name}]", [
        _comment_before(lines, statement.position.line) for statement in statements
    ]


def _comment_before(lines: Sequence[str], line: int) -> str:
    """The first sentence of the comment right above a line; the comment that opens the file is its title."""
    first = line - 1
    while first > 0 and lines[first - 1].lstrip().startswith("--"):
        first -= 1
    words = [text.strip().removeprefix("--").strip() for text in lines[first : line - 1]]
    return "" if first == 0 else _SENTENCE_END.split(" ".join(words), maxsplit=1)[0]


@contextmanager
def _generation() -> Iterator[Progress | None]:
    """A bar on stderr while events are made; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import Progress as Bars

    with Bars(console=stderr_console(), transient=True) as bars:
        task = bars.add_task("generating", total=None)

        def report(step: str, numbers: Mapping[str, float]) -> None:
            bars.update(task, completed=numbers["rows"], total=numbers["total"])

        yield report


def _say(text: str, *, bold: bool = False) -> None:
    stdout_console().print(text, style="bold" if bold else "", markup=False, highlight=False, soft_wrap=True)


def _farewell(path: Path, elapsed_s: float, *, reported: bool) -> None:
    _say(f"\nDone in {elapsed_s:.1f} s. What there is now:")
    _say(f"  scripts  {path / _STORY}")
    _say(f"  data     {path / 'warehouse.duckdb'}, made from {path / _DATA / demo.EVENTS_FILE}")
    _say(f"  models   {path / 'registry.sqlite'}")
    if reported:
        _say(f"  report   {path / _REPORT}  (open it in a browser)")
    dates = f"--param start_date={demo.START_DATE} --param end_date={demo.END_DATE}"
    _say("What to try next:")
    _say(f"  hanse run {path / _STORY}/*.sql -w {path} {dates}   # after an edit, say")
    _say(f'  hanse sql -w {path} "SHOW MODELS"')
    _say(f'  hanse sql -w {path} "SELECT * FROM model_centroids(global_anomalies, 1)"')
    _say(f"  hanse shell -w {path}")
