"""The shell, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from cli_support import HANSE, environment
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

import hanse
from hanse.cli.completion import Names, SqlCompleter, candidates
from hanse.cli.shell import is_complete

FINISH_S = 120
PROMPT = "hanse>"
MORE = r"\.\.\."
POINTS = "CREATE TABLE points AS SELECT id AS place, id % 3 AS `my column` FROM range(60)"
MODEL = """CREATE MODEL shoppers TRANSFORM (vector_assembler(array(place)) AS features)
OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2, SEED = 1) AS SELECT place FROM points"""


@contextmanager
def shell(folder: Path, *arguments: str) -> Iterator[pexpect.spawn]:
    """A shell that has shown its first prompt."""
    command, *rest = [*HANSE, "shell", "-w", "w", *arguments]
    child = pexpect.spawn(
        command,
        rest,
        cwd=str(folder),
        env=environment(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1"),
        encoding="utf-8",
        timeout=FINISH_S,
        dimensions=(50, 160),
    )
    try:
        child.expect(PROMPT)
        yield child
    finally:
        child.close(force=True)


def left(child: pexpect.spawn) -> int | None:
    """The exit code of a shell that is leaving."""
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus


def test_a_statement_runs_at_its_semicolon_and_not_before(tmp_path: Path) -> None:
    with shell(tmp_path) as child:
        child.send("SELECT 1230 + -- not the end;\r")
        child.expect(MORE)
        child.send("4 AS total;\r")
        child.expect("1234")
        child.expect(PROMPT)
        child.send("\\q\r")
        assert left(child) == 0


def test_errors_are_told_and_the_conversation_goes_on(tmp_path: Path) -> None:
    with shell(tmp_path) as child:
        child.send("SELECT plaice FROM (SELECT 1 AS place) AS t;\r")
        child.expect(r"unknown column plaice at line 1, column 8: did you mean place\?")
        child.expect(PROMPT)
        child.send("\\nope\r")
        child.expect("unknown command")
        child.expect(PROMPT)
        child.send("SELECT 1230 + 4 AS total;\r")
        child.expect("1234")
        child.expect(PROMPT)
        child.sendeof()
        assert left(child) == 0


def test_ctrl_c_drops_the_line_or_stops_the_statement(tmp_path: Path) -> None:
    endless = "SELECT COUNT(*) AS n FROM range(10000000) AS a CROSS JOIN range(10000000) AS b WHERE a.id * b.id = -1;"
    with shell(tmp_path) as child:
        child.send("SELECT nonsense\r")
        child.expect(MORE)
        child.sendintr()
        child.expect(PROMPT)
        child.send(f"SET strict_binding = true; {endless}\r")
        child.expect("strict_binding = true\r")
        child.sendintr()
        child.expect("cancelled")
        child.expect(PROMPT)
        child.send("SELECT 1230 + 4 AS total;\r")
        child.expect("1234")
        child.expect(PROMPT)
        child.sendeof()
        assert left(child) == 0


def test_tab_completes_and_history_lasts(tmp_path: Path) -> None:
    with hanse.connect(tmp_path / "w") as session:
        session.sql("CREATE TABLE customer_features AS SELECT 1234 AS order_value")
    with shell(tmp_path) as child:
        child.send("SELECT order_value FROM cust\t")
        child.expect("omer_features")
        child.send(";\r")
        child.expect("1234")
        child.expect(PROMPT)
        child.sendeof()
        assert left(child) == 0
    assert "customer_features" in (tmp_path / "w" / "shell_history").read_text()
    with shell(tmp_path) as child:
        child.send("\x1b[A")  # the arrow up
        child.expect("customer_features")
        child.send("\r")
        child.expect("1234")
        child.expect(PROMPT)
        child.sendeof()
        assert left(child) == 0


def test_the_commands(tmp_path: Path) -> None:
    with hanse.connect(tmp_path / "w") as session:
        session.sql(f"{POINTS}; {MODEL}")
    (tmp_path / "a.sql").write_text("SELECT $k + 1230 AS total")
    expected = {
        "\\?": r"\\i FILE +run a script",
        "\\d": "points",
        "\\d points": "BIGINT",
        "\\m": "kmeans",
        "\\m shoppers": "kmeans",
        "\\p k=4": r"\$k = 4",
        "\\i a.sql": "1234",
        "\\i none.sql": "none.sql does not exist",
        "\\i": "needs a file",
        "\\p start=2011-10-01": r"\$start = 2011-10-01",
        "\\p k": "need name=value",
    }
    with shell(tmp_path) as child:
        for command, answer in expected.items():
            child.send(f"{command}\r")
            child.expect(f"\\x1b\\[\\?2004l[\\s\\S]*?{answer}")  # what comes after the line was taken
            child.expect(PROMPT)
        child.send("\\q\r")
        assert left(child) == 0


def test_a_workspace_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    command, *rest = [*HANSE, "shell", "-w", "w"]
    child = pexpect.spawn(command, rest, cwd=str(tmp_path), env=environment(), encoding="utf-8", timeout=FINISH_S)
    child.expect("is a file: name a folder")
    assert left(child) == 1


# -- completion ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("SELECT 1;", True),
        ("SELECT 1; \n", True),
        ("SELECT 1", False),
        ("SELECT ';", False),
        ("SELECT ';';", True),
        ("SELECT 1 -- ;", False),
        ("SELECT 1 /* ; */;", True),
        ("SELECT 1 /* ;", False),
        ("SELECT `a;", False),
        ("SELECT 1; SELECT 2", False),
        ("SELECT 1; SELECT 2;", True),
        ("SELECT (1;", True),  # an error, to be told at once
        (";", True),
        ("", False),
    ],
)
def test_what_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


NAMES = Names({"points": ("place", "my column"), "orders": ("price",)}, ("shoppers",))


@pytest.mark.parametrize(
    ("before", "offered", "missing"),
    [
        ("SELECT * FROM ", {"points", "orders", "model_predict"}, {"place", "SELECT"}),
        ("DROP TABLE IF EXISTS ", {"points"}, {"shoppers"}),
        ("DESCRIBE MODEL ", {"shoppers"}, {"points"}),
        ("SELECT * FROM model_predict(", {"shoppers"}, {"points"}),
        ("CREATE MODEL m OPTIONS (", {"MODEL_TYPE", "NUM_CLUSTERS", "SEED"}, {"points"}),
        ("CREATE MODEL m TRANSFORM (", {"vector_assembler", "standard_scaler"}, set()),
        ("SELECT * FROM points WHERE ", {"place", "my column", "AND", "$day"}, {"price"}),
        ("SELECT ", {"place", "price", "DISTINCT", "$day", "date_add"}, set()),
        ("", {"SELECT", "CREATE MODEL", "SHOW TABLES"}, set()),
    ],
)
def test_what_is_offered(before: str, offered: set[str], missing: set[str]) -> None:
    texts = [text for text, _ in candidates(before, before, NAMES, ["day"])]
    assert len(texts) == len(set(texts))
    assert offered <= set(texts)
    assert missing & set(texts) == set()


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("SELECT * FROM poi", ["points"]),
        ("SELECT my FROM points"[:9], ["`my column`"]),
        ("SELECT `my", ["`my column`"]),
        ("sel", ["select"]),
        ("SEL", ["SELECT"]),
        ("SELECT $", ["$day"]),
        ("DROP MODEL sho", ["shoppers"]),
    ],
)
def test_a_word_is_completed(session: hanse.Session, text: str, completed: list[str]) -> None:
    session.sql(f"{POINTS}; {MODEL}")
    completer = SqlCompleter(session, {"day": 1})
    found = completer.get_completions(Document(text), CompleteEvent())
    assert [completion.text for completion in found] == completed


def test_new_tables_are_offered_after_a_statement(session: hanse.Session) -> None:
    completer = SqlCompleter(session, {})

    def offered() -> list[str]:
        return [c.text for c in completer.get_completions(Document("SELECT * FROM poi"), CompleteEvent())]

    assert offered() == []
    session.sql(POINTS)
    completer.refresh()
    assert offered() == ["points"]
