"""The shell: statements typed over several lines until ``;``, with history and completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hanse.cli.completion import SqlCompleter
from hanse.cli.execution import execute
from hanse.cli.parameters import parse_parameters
from hanse.cli.running import report
from hanse.cli.scripts import FailedScript, Script, read_scripts
from hanse.cli.tables import Tables
from hanse.cli.terminal import note
from hanse.errors import CancelledError, HanseError, ParseError, UsageError, nearest
from hanse.types import Value

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

    from hanse.session import Session

__all__ = ["Shell", "is_complete"]

_HISTORY = "shell_history"
_HELP = """\
Statements end with ; and may take several lines. Besides them:
  \\d [TABLE]        the tables, or one table's columns
  \\m [MODEL]        the models, or one model
  \\i FILE           run a script
  \\p [NAME=VALUE]   the parameters, or give $NAME a value (NAME= forgets it)
  \\? or \\h          this help
  \\q or Ctrl-D      leave
Ctrl-C drops what is being typed, or stops the statement that runs. Tab completes; the arrow keys find earlier lines."""


def is_complete(text: str) -> bool:
    """Whether a text is ready to run: its last ``;`` stands outside of strings and comments, and nothing follows.

    >>> is_complete("SELECT 1;"), is_complete("SELECT ';"), is_complete("SELECT 1 -- ;")
    (True, False, False)
    """
    from hanse.sql.lexer import statements

    if not text.rstrip().endswith(";"):
        return False
    try:
        last = list(statements(f"{text}\nx"))[-1]
    except ParseError as error:
        return "never ends" not in error.what
    return len(last.tokens) == 1


class Shell:
    """A conversation over one session.

    Args:
        session: where statements run.
        parameters: for ``$name``; ``\\p`` adds to them.
        rows: how many rows a table shows.
    """

    def __init__(self, session: Session, parameters: dict[str, Value], rows: int) -> None:
        self._session = session
        self._parameters = parameters
        self._rows = rows
        self._completer = SqlCompleter(session, parameters)

    def talk(self) -> None:
        """Read and run until the user leaves."""
        place = self._session.workspace.path
        note(f"{place or 'in memory'}: statements end with ; and \\? helps")
        prompt = self._prompt()
        while True:
            try:
                text = prompt.prompt("hanse> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text.strip() and not self.take(text):
                return

    def take(self, text: str) -> bool:
        """Run what was typed; errors are told and the conversation goes on.

        Returns:
            whether it goes on.
        """
        try:
            stripped = text.strip()
            if stripped.startswith("\\"):
                return self._command(stripped)
            if stripped.strip("; \n"):
                self._execute(Script("the shell", text))
        except FailedScript as failure:
            report(failure.error, failure.script)
        except HanseError as error:
            report(error)
        except KeyboardInterrupt:
            report(CancelledError("cancelled"))
        finally:
            self._completer.refresh()
        return True

    def _execute(self, *scripts: Script) -> None:
        execute(self._session, scripts, self._parameters, Tables(self._rows))

    # -- commands -----------------------------------------------------------------------------

    def _command(self, text: str) -> bool:
        name, _, argument = text.partition(" ")
        argument = argument.strip().rstrip(";").strip()
        if name.rstrip(";") in ("\\q", "\\quit"):
            return False
        commands: dict[str, Callable[[str], None]] = {
            "\\d": self._tables,
            "\\h": self._help,
            "\\i": self._include,
            "\\m": self._models,
            "\\p": self._parameter,
            "\\?": self._help,
        }
        command = commands.get(name.rstrip(";"))
        if command is None:
            raise UsageError(f"unknown command {name}: {nearest(name, commands)}; \\? explains them")
        command(argument)
        return True

    def _help(self, argument: str) -> None:
        print(_HELP)  # noqa: T201  # the command line speaks

    def _tables(self, table: str) -> None:
        self._execute(Script("\\d", f"DESCRIBE TABLE {table}" if table else "SHOW TABLES"))

    def _models(self, model: str) -> None:
        if model:
            self._execute(Script("\\m", f"DESCRIBE MODEL {model}"))
            return
        from hanse.cli.listing import models_result

        Tables(0).write(1, models_result(self._session.registry.list()))

    def _include(self, file: str) -> None:
        if not file:
            raise UsageError("\\i needs a file: \\i features.sql")
        self._execute(*read_scripts([file]))

    def _parameter(self, text: str) -> None:
        name, equals, value = text.partition("=")
        if equals and not value.strip():
            self._parameters.pop(name.strip(), None)
        elif text:
            self._parameters.update(parse_parameters([text]))
        for name, given in sorted(self._parameters.items()):
            print(f"${name} = {given!r}" if isinstance(given, str) else f"${name} = {given}")  # noqa: T201  # as above

    # -- the prompt ---------------------------------------------------------------------------

    def _prompt(self) -> PromptSession[str]:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.lexers import PygmentsLexer
        from pygments.lexers.sql import SqlLexer  # type: ignore[import-untyped]  # ships no types

        return PromptSession(
            history=self._history(),
            completer=self._completer,
            complete_while_typing=False,
            key_bindings=_enter_runs_complete_statements(),
            lexer=PygmentsLexer(SqlLexer),
            multiline=True,
            prompt_continuation=lambda width, line, wrapped: ("... ").rjust(width),
        )

    def _history(self) -> History:
        from prompt_toolkit.history import FileHistory, InMemoryHistory

        folder = self._session.workspace.path
        return InMemoryHistory() if folder is None else FileHistory(str(folder / _HISTORY))


def _enter_runs_complete_statements() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None  # Enter takes the chosen completion
        elif not buffer.text.strip() or buffer.text.lstrip().startswith("\\") or is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @bindings.add("c-d")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.delete()
        else:
            event.app.exit(exception=EOFError)

    return bindings
