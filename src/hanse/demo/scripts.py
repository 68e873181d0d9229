"""Where the story's SQL scripts stand: inside the installed package, or in the repository's examples."""

from __future__ import annotations

from pathlib import Path

from hanse.errors import WorkspaceError

__all__ = ["story"]


def story() -> tuple[Path, ...]:
    """The scripts of FitFashionMart's story, in the order in which they run.

    Raises:
        WorkspaceError: the installation lacks them.
    """
    here = Path(__file__).resolve()
    installed = here.parent / "story"
    repository = here.parents[3] / "examples" / "fitfashionmart"
    for folder in (installed, repository):
        scripts = tuple(sorted(folder.glob("*.sql")))
        if scripts:
            return scripts
    raise WorkspaceError(f"the story's scripts are neither in {installed} nor in {repository}: reinstall hanse")
