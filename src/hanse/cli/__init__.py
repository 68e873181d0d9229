"""The command line: ``hanse run | sql | shell | load | models | demo``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    from hanse.cli.running import run

    sys.exit(run(sys.argv[1:]))
