"""A workspace is a folder that can be made and written, or a clear error; files are written whole."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.errors import WorkspaceError
from hanse.workspace import Workspace, read_file, write_file

NOBODY = 65534


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder that can be read, not written; for the time of the test, root becomes nobody."""
    folder = Path(tempfile.mkdtemp(prefix="hanse-test-"))
    folder.chmod(0o555)
    was_root = os.geteuid() == 0
    try:
        if was_root:
            try:
                os.seteuid(NOBODY)
            except OSError:
                pytest.skip("root may not become nobody here, and permission bits do not bind root")
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_in_memory() -> None:
    workspace = Workspace.open(None)
    assert (workspace.path, workspace.warehouse, workspace.registry) == (None, ":memory:", None)


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_is_made_and_opened_again(tmp_path: Path, kind: type) -> None:
    folder = tmp_path / "wörk space"
    for _ in range(2):
        workspace = Workspace.open(kind(folder))
        assert workspace.path == folder
        assert folder.is_dir()
        assert workspace.warehouse == str(folder / "warehouse.duckdb")
        assert workspace.registry == folder / "registry.sqlite"
    assert list(folder.iterdir()) == []


def test_a_relative_path_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open("w")
    monkeypatch.chdir("/")
    assert workspace.path == tmp_path / "w"


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.open("~/w").path == tmp_path / "w"
    with pytest.raises(WorkspaceError, match="no such home folder"):
        Workspace.open("~nobody-of-that-name/w")


def test_opening_without_making(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"workspace .*/w does not exist: check the path"):
        Workspace.open(tmp_path / "w", create=False)
    assert not (tmp_path / "w").exists()
    (tmp_path / "w").mkdir()
    assert Workspace.open(tmp_path / "w", create=False).path == tmp_path / "w"


def test_a_path_that_cannot_be_a_workspace(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    cases = {
        file: r"/file is a file: name a folder",
        file / "below": "a part of the path is a file",
        tmp_path / "a" / "b": r"cannot be made: create .*/a first",
        tmp_path / ("x" * 300): "the name is too long",
        tmp_path / "loop": "cannot be opened|leads nowhere|circle",
        tmp_path / "broken": "leads nowhere",
        "": "need the path of a folder",
        "a\0b": "need the path of a folder",
    }
    for path, message in cases.items():
        with pytest.raises(WorkspaceError, match=message):
            Workspace.open(path)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc, where nobody can make a folder")
def test_a_place_where_nobody_can_make_a_folder() -> None:
    with pytest.raises(WorkspaceError, match="workspace /proc/hanse cannot be opened"):
        Workspace.open("/proc/hanse")


def test_a_folder_without_write_permission(unprivileged_folder: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"workspace .* is not writable: change its permissions"):
        Workspace.open(unprivileged_folder)
    with pytest.raises(WorkspaceError, match=r"below cannot be opened: you lack the permission"):
        Workspace.open(unprivileged_folder / "below")
    with pytest.raises(WorkspaceError, match=r"m\.json cannot be written: you lack the permission"):
        write_file(unprivileged_folder / "m.json", b"{}")


def test_a_file_system_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WorkspaceError, match="the file system is read-only: choose another folder"):
        Workspace.open(tmp_path / "w")


def test_a_workspace_opens_without_loading_an_engine() -> None:
    heavy = "{'duckdb', 'sqlalchemy', 'numpy'}"
    code = f"import sys, hanse.workspace; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# files


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_file(path, b"old")
    path.chmod(0o640)
    write_file(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_file(tmp_path / "m.json", b"x")
    (tmp_path / "other").touch()
    assert (tmp_path / "m.json").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(b"old")
    (tmp_path / "link.json").symlink_to("real.json")
    write_file(tmp_path / "link.json", b"new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_bytes() == b"new"


def test_places_where_no_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path: "cannot be written: it is a folder: name a file",
        tmp_path / "pipe": "it is a device or a pipe",
        "/dev/null": "it is a device or a pipe",
        tmp_path / "no" / "m.json": "the folder does not exist: create it first",
        tmp_path / "file" / "m.json": "a part of the path is a file",
        tmp_path / ("x" * 300): "the name is too long",
        "": "is not a path: name a file",
        "a\0b": "is not a path: name a file",
    }
    for path, message in cases.items():
        with pytest.raises(WorkspaceError, match=message):
            write_file(path, b"x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "pipe"]
    assert not Path("/dev/null").is_file()


def test_a_name_as_long_as_allowed_can_be_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("x" * 255), b"x")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"x"


LIMITED_WRITE = """
import resource, sys
from hanse.errors import WorkspaceError
from hanse.workspace import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(sys.argv[1], b"n" * 100_000)
except WorkspaceError as error:
    print(error)
"""


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_write_that_does_not_fit_leaves_the_old_file(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "m.json"
    if before is not None:
        path.write_bytes(before)
    done = subprocess.run([sys.executable, "-c", LIMITED_WRITE, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{path} cannot be written: the file would be larger than the limit")
    assert done.stderr == ""
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([] if before is None else [before])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: real_open(Path("/dev/full"), "wb"))
    with pytest.raises(WorkspaceError, match="the disk is full: free some space"):
        write_file(tmp_path / "m.json", b"x")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "m.json", b"x")
    assert list(tmp_path.iterdir()) == []


KILLED_WRITE = """
import resource, signal, sys
from hanse.workspace import write_file
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_file(sys.argv[1], b"n" * 100_000)
"""


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED_WRITE, str(path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGXFSZ
    assert path.read_bytes() == b"old"


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(b"1234")
    assert read_file(path, limit_bytes=4) == b"1234"
    with pytest.raises(WorkspaceError, match="larger than the limit of 3 bytes"):
        read_file(path, limit_bytes=3)
    with pytest.raises(WorkspaceError, match=r"no\.json cannot be read: there is no such file"):
        read_file(tmp_path / "no.json", limit_bytes=3)
    with pytest.raises(WorkspaceError, match="it is a folder: name a file"):
        read_file(tmp_path, limit_bytes=3)
    with pytest.raises(WorkspaceError, match="it is a device or a pipe"):
        read_file("/dev/zero", limit_bytes=3)
    with pytest.raises(WorkspaceError, match="a part of the path is a file"):
        read_file(path / "x", limit_bytes=3)
