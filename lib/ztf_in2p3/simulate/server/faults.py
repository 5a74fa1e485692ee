"""What can go wrong with a real archive, on demand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Faults that the look-alike can answer with."""

    HTML = "html"
    """An HTML page about maintenance, with status 200."""
    XML = "xml"
    """An XML error message, with status 200."""
    LOGIN_PAGE = "login page"
    """The login page with status 200, as when a session has expired."""
    EMPTY = "empty"
    """A table of nothing but its header line; a file of no bytes."""
    NOT_FOUND = "404"
    FORBIDDEN = "403"
    TOO_MANY = "429"
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    TRUNCATED = "truncated"
    """The right length announced, half of it sent, the connection closed."""
    SHORT = "short"
    """Half of the body, and that half's length announced."""
    RESET = "reset"
    """The connection closed without a word."""
    STALL = "stall"
    """Half of the body, then silence."""
    REDIRECT = "redirect"
    """Sent on to the address that `Injected.text` holds."""
    CORRUPT = "corrupt"
    """Thirty-two bytes overwritten before the last block of a file, where its last HDU has its data."""
    WRONG_LENGTH = "wrong length"
    """The whole body, under a length that is too large by a block, and the connection closed."""
    SLOW = "slow"
    """The whole body, with a pause in the middle that is shorter than any client's patience."""


@dataclass(slots=True)
class Injected:
    """A fault, for the next requests whose path matches."""

    fault: Fault
    pattern: str = "*"
    """Pattern of the path, as a shell's (``*sciimg.fits``)."""
    times: float = 1
    """How many requests; `math.inf` for all."""
    retry_after: str | None = None
    """Header of that name, of a 429 or 5xx: seconds or a date."""
    text: str | None = None
    """Page to send in the place of our own, for HTML and XML."""


REFUSALS = (Fault.NOT_FOUND, Fault.FORBIDDEN, Fault.TOO_MANY, Fault.UNAVAILABLE)
BREAKS = (Fault.TRUNCATED, Fault.SHORT, Fault.RESET, Fault.SLOW)
LIES = (Fault.WRONG_LENGTH, Fault.HTML, Fault.XML)


@dataclass(frozen=True, slots=True)
class Weather:
    """Faults that strike a random share of all requests.

    What befalls a request follows from its address and from how often that was asked for, so that one seed has one
    course of events, whichever thread is the first.
    """

    share: float = 0.1
    """Fraction of the requests that each kind strikes."""
    seed: int = 0
    kinds: tuple[tuple[Fault, ...], ...] = (REFUSALS, BREAKS, LIES)
    """Groups of faults, of which one is drawn."""

    def __post_init__(self) -> None:
        if not 0 <= self.share * len(self.kinds) < 1:
            raise ValueError(f"{self.share} of the requests for each of {len(self.kinds)} kinds: at least one is good")

    def fault(self, address: str, number: int) -> Fault | None:
        """The fault that strikes the request with that number for an address; None for a good answer."""
        words = f"{self.seed} {number} {address}".encode()
        drawn = int.from_bytes(hashlib.blake2b(words, digest_size=8).digest()) / 2**64
        for kind, faults in enumerate(self.kinds):
            within = drawn / self.share - kind if self.share else -1.0
            if 0 <= within < 1:
                return faults[int(within * len(faults))]
        return None


HTML_PAGE = (
    "<!DOCTYPE html><html><head><title>IRSA</title><style>p {color: red}</style></head><body>"
    "<h1>IRSA is down for scheduled maintenance</h1><p>We expect to be back shortly.</p></body></html>"
)
XML_PAGE = '<?xml version="1.0" encoding="UTF-8"?>\n<ERROR>{}</ERROR>\n'
LOGIN_PAGE = (
    '<html><head><title>IRSA Login</title></head><body><form action="/account/signon/login.do" method="post">'
    '<input type="hidden" name="josso_cmd" value="login"/><input type="text" name="josso_username"/>'
    '<input type="password" name="josso_password"/></form></body></html>'
)
SIGNED_ON_PAGE = "<html><head><title>IRSA</title></head><body>Welcome to IRSA.</body></html>"
"""Page after the login form was sent, whether the password was right or wrong."""
