"""Scripts as the command line names them, and the excerpt that an error shows of them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from hanse.cli.running import excerpt
from hanse.cli.scripts import FailedScript, Script, read_script, read_scripts
from hanse.errors import UsageError


def test_files_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.sql").write_bytes(b"SELECT 2")
    (tmp_path / "a.sql").write_bytes("SELECT 'ß'".encode())
    scripts = read_scripts([str(tmp_path / "b.sql"), str(tmp_path / "a.sql")])
    assert [script.text for script in scripts] == ["SELECT 2", "SELECT 'ß'"]
    assert [Path(script.name).name for script in scripts] == ["b.sql", "a.sql"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"\xef\xbb\xbfSELECT 1")
    assert read_script(str(tmp_path / "a.sql")).text == "SELECT 1"


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT 1")))
    assert read_scripts(["-"]) == [Script("stdin", "SELECT 1")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no statement to run"),
        (b" \n-- a comment\n/* another */ ;;", "empty or holds comments only"),
        (b"SELECT 1\n-- caf\xe9", r"not UTF-8 text \(byte 0xe9 on line 2\): save it as UTF-8"),
        ("SELECT 1".encode("utf-16"), "is UTF-16: save it as UTF-8"),
    ],
)
def test_a_file_without_a_script(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.sql").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_scripts([str(tmp_path / "a.sql")])
    assert "a.sql" in str(caught.value)


def test_a_missing_file_names_its_like(tmp_path: Path) -> None:
    (tmp_path / "features.sql").write_bytes(b"SELECT 1")
    with pytest.raises(UsageError, match=r"feature\.sql does not exist: .*did you mean features\.sql\?"):
        read_script(str(tmp_path / "feature.sql"))


def test_a_folder_is_no_script(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder: name the files in it"):
        read_script(str(tmp_path))


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"SELECT 1")
    for path in (str(tmp_path / "a.sql" / "b.sql"), "a\0b", "x" * 5000):
        with pytest.raises(UsageError, match="cannot be read"):
            read_script(path)


def test_stdin_cannot_be_read_twice() -> None:
    with pytest.raises(UsageError, match="stands twice"):
        read_scripts(["-", "-"])


def test_a_string_that_never_ends_is_told_with_its_script(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"SELECT 'a")
    with pytest.raises(FailedScript, match="never ends") as caught:
        read_scripts([str(tmp_path / "a.sql")])
    assert caught.value.script.text == "SELECT 'a"


@pytest.mark.parametrize(
    ("text", "line", "column", "shown"),
    [
        ("SELECT 1,\n  foo", 2, 3, ["  2 |   foo", "    |   ^"]),
        ("SELECT\r\n\tfoo", 2, 2, ["  2 |  foo", "    |  ^"]),
        ("SELECT '日本', foo", 1, 14, ["  1 | SELECT '日本', foo", "    |                ^"]),
        ("SELECT 1", 1, 9, ["  1 | SELECT 1", "    |         ^"]),
        ("SELECT 1", 2, 1, ["  2 | ", "    | ^"]),
    ],
)
def test_a_caret_stands_under_the_column(text: str, line: int, column: int, shown: list[str]) -> None:
    assert excerpt(Script("a.sql", text), line, column)[1:] == shown


def test_a_long_line_is_cut_around_the_column() -> None:
    text = "SELECT " + "1 + " * 200 + "foo + " + "1 + " * 200 + "1"
    column = text.index("foo") + 1
    _, line, caret = excerpt(Script("a.sql", text), 1, column)
    assert len(line) < 140
    assert line[caret.index("^") :].startswith("foo")
