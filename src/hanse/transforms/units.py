"""A model's features in the units of the SELECT: the linear steps of a TRANSFORM, undone."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.transforms.chain import Chain
from hanse.transforms.min_max_scaler import MinMaxScaler
from hanse.transforms.standard_scaler import StandardScaler

__all__ = ["Unit", "units_of"]


@dataclass(frozen=True)
class Unit:
    """``original = value * scale + shift``."""

    scale: float = 1.0
    shift: float = 0.0

    def after(self, scale: float, shift: float) -> Unit:
        """The unit of a value of which ``inner = value * scale + shift`` is the value in this unit."""
        return Unit(self.scale * scale, self.scale * shift + self.shift)


def units_of(chain: Chain) -> tuple[Unit, ...]:
    """For each feature how its value becomes the SELECT's; imputed and indexed values stay what they are."""
    known: dict[str, list[Unit]] = {}
    last: list[Unit] = []
    for step in chain.steps:
        last = [unit for name in step.inputs for unit in known.get(name.lower(), [Unit()])]
        fitted = step.fitted
        if isinstance(fitted, StandardScaler):
            last = [u.after(*_standard(fitted, j)) for j, u in enumerate(last)]
        elif isinstance(fitted, MinMaxScaler):
            last = [u.after(*_stretched(fitted, j)) for j, u in enumerate(last)]
        known[step.alias.lower()] = last
    return tuple(last)


def _standard(fitted: StandardScaler, j: int) -> tuple[float, float]:
    mean, deviation = fitted.mean[j], fitted.deviation[j]
    if fitted.with_std and deviation <= 0:
        return 0.0, mean
    return deviation if fitted.with_std else 1.0, mean if fitted.with_mean else 0.0


def _stretched(fitted: MinMaxScaler, j: int) -> tuple[float, float]:
    least, greatest = fitted.least[j], fitted.greatest[j]
    scale = (greatest - least) / (fitted.high - fitted.low)
    return scale, least - fitted.low * scale
