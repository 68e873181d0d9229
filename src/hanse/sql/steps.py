"""A TRANSFORM clause as names and numbers: what the transforms layer takes."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from hanse.errors import BindError
from hanse.sql.nodes import TransformStep, position_of
from hanse.sql.parameters import bind_parameters
from hanse.transforms.base import StepSpec
from hanse.transforms.chain import transform_of
from hanse.types import Parameters

__all__ = ["step_specs"]


def step_specs(steps: tuple[TransformStep, ...], parameters: Parameters) -> list[StepSpec]:
    """The steps of a clause, with columns as names and further arguments as values.

    Raises:
        BindError: an unknown transform, an argument that is neither, or a parameter that was not given.
        UnsupportedError: a transform that is not there yet.
    """
    return [_spec(step, parameters) for step in steps]


def _spec(step: TransformStep, parameters: Parameters) -> StepSpec:
    transform_of(step.function, step.position)  # said before anything about its arguments
    arguments = [bind_parameters(a.copy(), parameters) for a in step.arguments]
    if step.function == "vector_assembler":
        listed: list[Any] = []
        for argument in arguments:
            listed += argument.expressions if isinstance(argument, exp.Array) else [argument]
        return StepSpec(step.function, tuple(_column(a, step) for a in listed), (), step.alias, step.position)
    if not arguments:
        raise BindError(f"{step.function} has no arguments", "name a column first", step.position)
    inputs = (_column(arguments[0], step),)
    return StepSpec(step.function, inputs, tuple(_value(a, step) for a in arguments[1:]), step.alias, step.position)


def _column(argument: exp.Expression, step: TransformStep) -> str:
    if isinstance(argument, exp.Column):
        return ".".join(part.name for part in argument.parts)
    if isinstance(argument, exp.Dot):
        return ".".join(part.name for part in argument.parts)
    what = f"{argument.sql(dialect='spark')} in {step.function} is not a column"
    cure = "compute it in the SELECT, give it a name there with AS, and use that name here"
    raise BindError(what, cure, position_of(argument) or step.position)


def _value(argument: exp.Expression, step: TransformStep) -> Any:
    if isinstance(argument, exp.Neg):
        return -_value(argument.this, step)
    if isinstance(argument, exp.Boolean):
        return bool(argument.this)
    if isinstance(argument, exp.Null):
        return None
    if isinstance(argument, exp.Cast):
        return _value(argument.this, step)
    if isinstance(argument, exp.Literal):
        if argument.is_string:
            return str(argument.this)
        text = str(argument.this)
        return int(text) if text.isdigit() else float(text)
    if isinstance(argument, exp.Array):
        return tuple(_value(a, step) for a in argument.expressions)
    if isinstance(argument, exp.Column) and not argument.table:
        return argument.name
    what = f"{argument.sql(dialect='spark')} in {step.function} is not a value"
    raise BindError(what, "write a number, a text in quotes, true or false", position_of(argument) or step.position)
