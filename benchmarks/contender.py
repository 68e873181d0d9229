"""The process of a contender: the program that :func:`benchmarks.processes.run` starts."""

from __future__ import annotations

import json
import sys
from importlib import import_module

__all__ = ["main"]


def main() -> None:
    """Call the contender that the command line names, and write down what it gives."""
    contender, arguments, answer = sys.argv[1:]
    module, function = contender.split(":")
    result = getattr(import_module(module), function)(**json.loads(arguments))
    with open(answer, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib is not loaded yet
        json.dump(result, file)
