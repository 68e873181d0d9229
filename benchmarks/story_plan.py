"""The demo's scripts as a plan that any engine can follow: plain SQL stays, statements about models become steps.

Spark has no CREATE MODEL; this is how the very same scripts reach MLlib. Pages of SQL are not parsed here: the scripts
are ours, and what does not look as expected is refused.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Step", "plan"]

Step = dict[str, str]
"""``do``: table, select, train, evaluate or predict; ``phase`` it counts to; the rest by kind."""

_CREATE_TABLE = re.compile(r"CREATE OR REPLACE (?:TEMP )?TABLE (?P<table>\w+) AS\s+(?P<query>.*)", re.DOTALL)
_CREATE_MODEL = re.compile(
    r"CREATE OR REPLACE MODEL (?P<model>\w+)\s+"
    r"TRANSFORM \(\s*vector_assembler\(array\((?P<features>[^)]*)\)\) AS features\s*\)\s+"
    r"OPTIONS \((?P<options>[^)]*)\)\s+AS\s+(?P<query>.*)",
    re.DOTALL,
)
_TABLE_FUNCTION = re.compile(
    r"SELECT \* FROM model_(?P<verb>predict|evaluate)\((?P<model>\w+), 1,\s+(?P<query>.*)\)", re.DOTALL
)
_PHASES = {"train": "training", "evaluate": "evaluation", "predict": "prediction"}


def plan(scripts: Sequence[Path], parameters: Mapping[str, datetime.date]) -> list[Step]:
    """Every statement of the scripts as a step.

    Raises:
        ValueError: a statement about a model does not look as expected.
    """
    text = "\n".join(script.read_text() for script in scripts)
    text = re.sub(r"--[^\n]*", "", text)
    for name, value in parameters.items():
        text = text.replace(f"${name}", f"DATE '{value}'")
    return [_step(statement.strip()) for statement in text.split(";") if statement.strip()]


def _step(statement: str) -> Step:
    if found := _CREATE_MODEL.fullmatch(statement):
        step = {"do": "train", "phase": _PHASES["train"], **found.groupdict()}
    elif found := _CREATE_TABLE.fullmatch(statement):
        table, query = found["table"], found["query"]
        if called := _TABLE_FUNCTION.fullmatch(query):
            step = {"do": called["verb"], "phase": _PHASES[called["verb"]], "table": table}
            step |= {"model": called["model"], "query": called["query"]}
        else:
            step = {"do": "table", "phase": "features and aggregates", "table": table, "query": query}
    elif called := _TABLE_FUNCTION.fullmatch(statement):
        step = {"do": called["verb"], "phase": _PHASES[called["verb"]], "model": called["model"]}
        step |= {"query": called["query"]}
    else:
        step = {"do": "select", "phase": "features and aggregates", "query": statement}
    if "model" in step["query"].lower():
        raise ValueError(f"a statement about a model that the plan does not know: {statement[:200]}")
    return step
