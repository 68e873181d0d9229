"""The only wiring: one statement in, one result out."""

from hanse.session.result import Result
from hanse.session.session import Session

__all__ = ["Result", "Session"]
