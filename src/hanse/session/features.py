"""From a SELECT's columns to a model's features: which columns, by what name, through which transforms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanse import expressions as e
from hanse.errors import BindError, Position, nearest
from hanse.transforms.base import Column, Element, StepSpec
from hanse.transforms.chain import Chain

__all__ = ["base_columns", "bind_features", "default_steps"]

_NUMBERS = re.compile(r"^(U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|REAL|DOUBLE|DECIMAL\(.*\)|BIGNUM)$")
_TEXT = re.compile(r"^(VARCHAR(\(\d+\))?|CHAR\(\d+\)|STRING|TEXT|UUID|ENUM\(.*\))$")
_LEFT_OUT = re.compile(r"^(DATE|TIME|TIMESTAMP|INTERVAL)")


@dataclass(frozen=True)
class _Leaf:
    """A scalar of the SELECT: a column, or a field within a struct (``s.a``)."""

    name: str
    kind: str
    expression: e.Expression
    source: str


def _leaves(columns: Mapping[str, str], dialect: str) -> Iterator[_Leaf]:
    """Every column; structs are taken apart into their fields."""
    waiting = [_Leaf(name, kind, e.column(name), name) for name, kind in reversed(list(columns.items()))]
    while waiting:
        leaf = waiting.pop()
        fields = e.struct_fields(leaf.kind, dialect)
        if not fields:
            yield leaf
        for name, kind in reversed(list(fields.items())):
            inner = e.field_of(e.again(leaf.expression), name)
            waiting.append(_Leaf(f"{leaf.name}.{name}", kind, inner, leaf.source))


def base_columns(columns: Mapping[str, str], dialect: str = "duckdb") -> dict[str, Column]:
    """Each scalar of a SELECT as a transform's input, by lower-case name; numbers are doubles.

    Scalars that can be no feature (times, arrays, maps) are left out.
    """
    found: dict[str, Column] = {}
    for leaf in _leaves(columns, dialect):
        if _NUMBERS.match(leaf.kind) or leaf.kind == "BOOLEAN":
            value = leaf.expression if leaf.kind == "DOUBLE" else e.as_double(leaf.expression)
            kind = "truth" if leaf.kind == "BOOLEAN" else "number"
            found.setdefault(leaf.name.lower(), Column((Element(leaf.name, value, kind, leaf.source),)))
        elif _TEXT.match(leaf.kind):
            found.setdefault(leaf.name.lower(), Column((Element(leaf.name, leaf.expression, "text", leaf.source),)))
    return found


def default_steps(
    columns: Mapping[str, str], leave_out: Sequence[str], position: Position, dialect: str = "duckdb"
) -> list[StepSpec]:
    """The reference dialect's steps where a statement has no TRANSFORM.

    Numbers: NULL becomes the mean; text: NULL becomes ``ml_unknown``, then indexed; truth values: NULL becomes false,
    then indexed; structs are taken apart into their fields; times are left out.

    Raises:
        BindError: there is nothing to train on, or a column that can be no feature.
    """
    steps: list[StepSpec] = []
    last: list[str] = []
    hidden = {name.lower() for name in leave_out}
    for leaf in _leaves(columns, dialect):
        name, kind = leaf.name, leaf.kind
        if name.lower() in hidden or _LEFT_OUT.match(kind):
            continue
        if _NUMBERS.match(kind):
            chain: list[tuple[str, tuple[object, ...]]] = [("numeric_imputer", ("mean",))]
        elif _TEXT.match(kind):
            chain = [("string_imputer", ("ml_unknown",)), ("string_indexer", ())]
        elif kind == "BOOLEAN":
            chain = [("boolean_imputer", (False,)), ("string_indexer", ())]
        else:
            cure = "select the parts that matter, or name features: TRANSFORM (vector_assembler(array(...)) features)"
            raise BindError(f"column {name} of type {kind} cannot be a feature", cure, position)
        for function, parameters in chain:
            steps.append(StepSpec(function, (name,), parameters, name, position))
        last.append(name)
    if not last:
        raise BindError("no column of the SELECT can be a feature", "select at least one number", position)
    steps.append(StepSpec("vector_assembler", tuple(last), (), "features", position))
    return steps


def bind_features(
    chain: Chain, columns: Mapping[str, str], model: str, position: Position | None, *, strict: bool
) -> tuple[Column, tuple[str, ...]]:
    """A model's features over the columns of a SELECT.

    Bound by name. If no name matches and there are as many columns as features, bound by position, with a warning.

    Args:
        chain: the model's transforms.
        columns: the SELECT's, with engine types.
        model: its name, for messages.
        position: of the call.
        strict: every mismatch is an error.

    Returns:
        the features, and warnings.

    Raises:
        BindError: some names match and others do not, or none does and the numbers differ.
    """
    available = base_columns(columns)
    wanted = chain.inputs
    known = {leaf.name.lower(): leaf.kind for leaf in _leaves(columns, "duckdb")}
    known |= {c.lower(): k for c, k in columns.items()}
    matching = [name for name in wanted if name.lower() in known]
    missing = [name for name in wanted if name not in matching]
    if not missing:
        unfit = [name for name in wanted if name.lower() not in available]
        if unfit:
            what = f"feature {unfit[0]} of model {model} is of type {known[unfit[0].lower()]}"
            raise BindError(what, "need a number", position)
        return _features(chain, available, model, position), ()
    if matching or strict or len(columns) != len(wanted):
        raise BindError(
            f"model {model} needs column{'s'[: len(missing) != 1]} {', '.join(missing)}",
            _cure(missing, wanted, columns, matching, strict),
            position,
        )
    pairs = dict(zip(wanted, columns, strict=True))
    unfit = [c for c in columns if c.lower() not in available]
    if unfit:
        raise BindError(f"column {unfit[0]} of type {columns[unfit[0]]} cannot be a feature", "need a number", position)
    by_position = {w.lower(): available[c.lower()] for w, c in pairs.items()}
    shown = ", ".join(f"{c} as {w}" for w, c in pairs.items())
    where = f" at {position}" if position else ""
    warning = (
        f"no column of the SELECT is named like a feature of model {model}{where}: bound by position, {shown}; "
        "name them alike, or SET strict_binding = true to make this an error"
    )
    return _features(chain, by_position, model, position), (warning,)


def _features(chain: Chain, columns: Mapping[str, Column], model: str, position: Position | None) -> Column:
    made: set[str] = set()
    for step in chain.steps:
        for name in step.inputs:
            if name.lower() in made or step.function == "string_indexer":
                continue
            is_text, wants_text = columns[name.lower()].elements[0].kind == "text", step.function == "string_imputer"
            if is_text != wants_text:
                what = f"feature {name} of model {model} is {'text' if is_text else 'no text'}"
                raise BindError(what, f"need a {'text' if wants_text else 'number'}", position)
        made.add(step.alias.lower())
    return chain.features(columns)


def _cure(
    missing: Sequence[str],
    wanted: Sequence[str],
    columns: Mapping[str, str],
    matching: Sequence[str],
    strict: bool,
) -> str:
    if matching:
        return f"{', '.join(matching)} match{'es' if len(matching) == 1 else ''}, the rest must too; " + nearest(
            missing[0], columns
        )
    if strict and len(columns) == len(wanted):
        return "strict_binding is on: name the columns like the features, or SET strict_binding = false"
    return f"the SELECT gives {len(columns)} columns for {len(wanted)} features; {nearest(missing[0], columns)}"
