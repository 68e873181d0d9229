"""The command line: ``hanse run | sql | shell | load | models | demo``."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["main"]


class _WithoutPandas:
    """An importer that does not find pandas.

    pyarrow imports it, where it is installed, as soon as it makes an array: half a second that no command needs. Spark
    Connect's client does not work without it.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas" and "pyspark.sql.connect" not in sys.modules:
            raise ModuleNotFoundError("the command line works without pandas", name=name)


def main() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    sys.meta_path.insert(0, _WithoutPandas)
    from hanse.collector import patient

    with patient():
        from hanse.cli.running import run

        code = run(sys.argv[1:])
    sys.exit(code)
