"""What an archive can answer instead of the file that was asked for."""

from __future__ import annotations

from ztf_in2p3.errors import BadData


class NotInArchive(BadData):
    """No such file: not at this place, or not under this name."""


class NotYetPublic(NotInArchive):
    """The archive knows of the file and does not hand it out (yet)."""


class AccessDenied(BadData):
    """The archive wants a login that we do not have, or refuses the one we have."""


class LoginRefused(AccessDenied):
    """User name and password are not accepted: never asked again, since many tries lock an account."""


class PageInstead(BadData):
    """A page of text came in the place of data, and does not say that it will pass."""


class Damaged(BadData):
    """The bytes are not those of a whole FITS file.  Where they came over a network, another try may help."""

    def __init__(self, message: str, *, short: bool = False) -> None:
        super().__init__(message)
        self.short = short
        """True if the file ends before it should: the mark of a transfer that broke off."""

    def __reduce__(self) -> tuple[object, ...]:  # keep `short` on the way home from a worker process
        return (_damaged, (str(self), self.short))


def _damaged(message: str, short: bool) -> Damaged:
    return Damaged(message, short=short)
