"""User name and password of an archive, which are never shown."""

from __future__ import annotations

import netrc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote, quote_plus

from ztf_in2p3.archive.errors import AccessDenied


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password of an account."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def from_netrc(cls, path: Path, host: str) -> Self | None:
        """The entry of one host, None if there is none; a file's ``default`` entry is not meant for archives.

        Raises
        ------
        AccessDenied
            The file cannot be read or parsed, or the entry lacks login or password.
        """
        remedy = f"expected a line 'machine {host} login NAME password SECRET'"
        try:
            entry = netrc.netrc(path).hosts.get(host)
        except OSError as error:
            raise AccessDenied(f"{path} cannot be read ({error.strerror}); {remedy}") from None
        except netrc.NetrcParseError as error:  # its message quotes the file, password included: not passed on
            raise AccessDenied(f"{path}, line {error.lineno}: not in netrc's format; {remedy}") from None
        if entry is None:
            return None
        if not entry[0] or not entry[2]:
            raise AccessDenied(f"{path} has no login and password for {host}; {remedy}")
        return cls(entry[0], entry[2])

    def blank(self, text: str) -> str:
        """A text from outside, with the password blanked out should it appear there."""
        for secret in {self.password, quote(self.password), quote(self.password, safe=""), quote_plus(self.password)}:
            text = text.replace(secret, "***") if secret else text
        return text
