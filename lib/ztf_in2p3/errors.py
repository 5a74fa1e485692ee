"""What went wrong, sorted by what to do about it.

Every message says which data, what was found, what was expected and what to do.  Mistakes
of the programmer stay `ValueError` and `TypeError`, and stop the run.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Something about the data or the world, foreseen and named."""


class TransientError(PipelineError):
    """Another try may succeed: a time-out, a busy server, a truncated transfer."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the other side asked us to wait, if it said so."""

    def __reduce__(self) -> tuple[object, ...]:  # keep `retry_after` on the way home from a worker process
        return (_transient, (type(self), str(self), self.retry_after))


class BadData(PipelineError):
    """No number of tries helps: set this input aside and go on with the others."""


class MissingProduct(PipelineError):
    """Something an earlier flow makes is not there: run that flow first."""


class NotAllowed(PipelineError, PermissionError):
    """The store may not be read or written with the rights at hand: no input is to blame."""


class MissingExtra(PipelineError):
    """A package of an extra is not installed; the message names the extra."""


class Mistyped(PipelineError, ValueError):
    """What an operator typed cannot be right: nothing was started."""


def _transient(kind: type[TransientError], message: str, retry_after: float | None) -> TransientError:
    return kind(message, retry_after=retry_after)
