"""What each command does, once its arguments are parsed."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanse.cli.parameters import parse_parameters
from hanse.cli.scripts import Script, check_not_empty, read_scripts
from hanse.cli.terminal import note
from hanse.cli.workspace import chosen_workspace
from hanse.errors import UsageError, WorkspaceError

if TYPE_CHECKING:
    from pathlib import Path

    from hanse.artifact import ModelInfo
    from hanse.session import Session
    from hanse.types import Parameters

__all__ = ["Place", "list_models", "load", "open_shell", "run_files", "run_text"]

_SIZE = re.compile(r"[0-9]+(\.[0-9]+)? *([KMGT]i?B|B)", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a command works.

    Args:
        workspace: of ``--workspace``; None for the environment's or the default.
        memory_limit: of the engine, as ``2GB``.
        threads: of the engine.
        federation: the coordinator's file.
        engine: ``duckdb`` or ``spark``.
        master: where to start Spark.
        remote: a Spark Connect server.
    """

    workspace: str | None
    memory_limit: str | None = None
    threads: int | None = None
    federation: str | None = None
    engine: str = "duckdb"
    master: str | None = None
    remote: str | None = None

    @property
    def path(self) -> Path | None:
        """The workspace's folder; None in memory."""
        return chosen_workspace(self.workspace)

    def open(self) -> Session:
        """Open a session.

        Raises:
            UsageError: a memory limit that is none.
            WorkspaceError: the workspace is locked, corrupt or cannot be written.
        """
        import hanse

        if self.memory_limit is not None and not _SIZE.fullmatch(self.memory_limit.strip()):
            raise UsageError(f"--memory-limit {self.memory_limit}: need a number and a unit, as 500MB or 2GB")
        path = self.path
        if self.workspace is None and path is not None and not path.exists() and sys.stderr.isatty():
            note(f"new workspace {path} (choose another with --workspace)")
        return hanse.connect(
            path,
            memory_limit=self.memory_limit,
            threads=self.threads,
            federation=self.federation,
            engine=self.engine.lower(),
            master=self.master,
            remote=self.remote,
        )


def run_files(
    files: Sequence[str], place: Place, params: Sequence[str], into: str | None, format: str, rows: int
) -> None:
    """Run script files in order, in one session."""
    parameters = parse_parameters(params)
    _run(read_scripts(files), place, parameters, into, format, rows)


def run_text(text: str, place: Place, params: Sequence[str], into: str | None, format: str, rows: int) -> None:
    """Run a script given as an argument."""
    parameters = parse_parameters(params)
    script = Script("the text", text)
    check_not_empty(script)
    _run([script], place, parameters, into, format, rows)


def _run(
    scripts: Sequence[Script], place: Place, parameters: Parameters, into: str | None, format: str, rows: int
) -> None:
    from hanse.cli.execution import execute
    from hanse.cli.formats import open_writer

    if into is not None and not into.strip():
        raise UsageError("--into is empty: name a table")
    writer = open_writer(format, rows)
    with place.open() as session:
        execute(session, scripts, parameters, writer, into)


def open_shell(place: Place, params: Sequence[str], rows: int) -> None:
    """Talk with a person; statements that come through a pipe are run as a script."""
    if not sys.stdin.isatty():
        run_files(["-"], place, params, None, "table", rows)
        return
    from hanse.cli.shell import Shell

    parameters = parse_parameters(params)
    with place.open() as session:
        Shell(session, parameters, rows).talk()


def load(table: str, files: Sequence[str], place: Place, replace: bool) -> None:
    """Load files into a table and say how many rows it has."""
    if not table.strip():
        raise UsageError("the table's name is empty: name one")
    with place.open() as session:
        if not replace and session.engine.kind([table]) is not None:
            raise UsageError(f"table {table} exists already: leave out --no-replace, or choose another name")
        count = session.load(table, list(files), replace=replace)
    print(f"table {table}: {count:,} row{'s' * (count != 1)}")  # noqa: T201  # the command line speaks


def list_models(workspace: str | None, format: str) -> None:
    """List the models of a workspace; its data stay closed."""
    from hanse.cli.formats import open_writer
    from hanse.registry import Registry
    from hanse.workspace import Workspace

    path = chosen_workspace(workspace)
    if path is None:
        raise UsageError("--workspace :memory: holds no models: name a folder")
    if not path.exists():
        raise WorkspaceError(f"workspace {path} does not exist: name one with --workspace, or make one with hanse demo")
    opened = Workspace.open(path, create=False)
    infos: list[ModelInfo] = []
    if opened.registry is not None and opened.registry.exists():
        with Registry.open(opened.registry) as registry:
            infos = registry.list()
    writer = open_writer(format, 0)
    if not infos and format.lower() == "table":
        print(f"no models in {path}: CREATE MODEL makes one")  # noqa: T201  # the command line speaks
        return
    from hanse.cli.listing import models_result

    writer.write(1, models_result(infos))
    writer.finish()
