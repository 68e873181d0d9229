"""Scripts through a session to a writer: statement by statement, files in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hanse.cli.scripts import FailedScript, Script
from hanse.cli.terminal import TrainingStatus, warn
from hanse.errors import HanseError

if TYPE_CHECKING:
    from hanse.cli.formats import Writer
    from hanse.session import Session
    from hanse.types import Parameters

__all__ = ["execute"]


def execute(
    session: Session,
    scripts: Sequence[Script],
    parameters: Parameters,
    writer: Writer,
    into: str | None = None,
) -> None:
    """Run scripts in one session, so that temporary tables and settings live across them.

    All scripts are parsed before the first statement runs. Warnings go to stderr whatever the format.

    Args:
        session: where they run.
        scripts: in order.
        parameters: for ``$name``.
        writer: takes each result.
        into: a table for the last script's last result.

    Raises:
        FailedScript: an error, and the script in which it happened.
    """
    with TrainingStatus() as status:
        runs = []
        for script in scripts:
            target = into if script is scripts[-1] else None
            with _failing_in(script):
                runs.append(session.run(script.text, parameters, into=target, progress=status))
        number = 0
        for script, results in zip(scripts, runs, strict=True):
            with _failing_in(script):
                for result in results:
                    number += 1
                    status.stop()
                    for warning in result.warnings:
                        warn(warning)
                    writer.write(number, result)
        with _failing_in(scripts[-1]):
            writer.finish()


@contextmanager
def _failing_in(script: Script) -> Iterator[None]:
    try:
        yield
    except HanseError as error:
        raise FailedScript(error, script) from error
