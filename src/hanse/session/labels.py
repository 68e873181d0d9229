"""Columns of the SELECT that are no features: the label that a model learns to predict, and the rows' weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanse import expressions as e
from hanse.errors import BindError, Position, nearest
from hanse.estimator import SUPERVISED, TARGET, WEIGHT
from hanse.options import Given
from hanse.session.features import base_columns
from hanse.transforms.base import StepSpec

__all__ = ["Role", "label_column", "label_name", "refuse_label_as_feature", "roles_of"]


@dataclass(frozen=True)
class Role:
    """A column of the SELECT that training reads beside the features.

    Args:
        column: its name, as the SELECT has it.
        value: of it, as a double.
    """

    column: str
    value: e.Expression


def roles_of(
    estimator: Any, columns: Mapping[str, str], options: Sequence[Given], position: Position | None
) -> dict[str, Role]:
    """The label's and the weight's column, by what the training relation calls them.

    Raises:
        BindError: a label is needed and not given, or an option names a column that is not there or is of another type.
    """
    found = {}
    label = label_name(estimator, position)
    if label:
        found[TARGET] = label_column(f"LABEL = {label!r}", label, columns, _place("LABEL", options))
    weight = estimator.weight_col
    if weight is not None:
        what = f"WEIGHT_COL = {weight!r}"
        found[WEIGHT] = _column(what, weight, columns, ("number",), "need a number", _place("WEIGHT_COL", options))
    return found


def label_name(estimator: Any, position: Position | None) -> str:
    """What the label's column is called; empty for a model type that learns without labels.

    Raises:
        BindError: the model type needs a label, and OPTIONS names none.
    """
    if estimator.family not in SUPERVISED:
        return ""
    if not estimator.label:
        cure = f"add LABEL = 'column' to OPTIONS: the column that {estimator.model_type} learns to predict"
        raise BindError("no LABEL", cure, position)
    return str(estimator.label)


def label_column(what: str, name: str, columns: Mapping[str, str], position: Position | None) -> Role:
    """The label's column; truth values become 0 and 1.

    Args:
        what: names it in an error, as ``LABEL = 'churned'``.
        name: of the column.
        columns: of the SELECT.
        position: for an error.

    Raises:
        BindError: there is none, or it holds neither numbers nor truth values.
    """
    cure = f"need 0 and 1 or truth values, as CASE WHEN {name} = '...' THEN 1 ELSE 0 END AS {name}"
    return _column(what, name, columns, ("number", "truth"), cure, position)


def _place(key: str, options: Sequence[Given]) -> Position | None:
    return next((o.value_position for o in options if o.key == key), None)


def _column(
    what: str, name: str, columns: Mapping[str, str], kinds: Sequence[str], cure: str, position: Position | None
) -> Role:
    found = next((c for c in columns if c.lower() == name.lower()), None)
    if found is None:
        raise BindError(f"{what} is not a column of the SELECT", nearest(name, columns), position)
    base = base_columns({found: columns[found]}).get(found.lower())
    if base is None or base.elements[0].kind not in kinds:
        raise BindError(f"{what} is of type {columns[found]}", cure, position)
    return Role(found, base.elements[0].expression)


def refuse_label_as_feature(label: str, specs: Sequence[StepSpec], read: Sequence[str]) -> None:
    """A model that reads its own answer predicts nothing.

    Args:
        label: column.
        specs: steps of TRANSFORM.
        read: columns of the SELECT that they read.

    Raises:
        BindError: a step reads the label.
    """
    if label.lower() not in {name.lower() for name in read}:
        return
    spec = next(s for s in specs if label.lower() in {name.lower() for name in s.inputs})
    raise BindError(f"{spec.function} reads {label}, which is the LABEL", "leave it out of TRANSFORM", spec.position)
