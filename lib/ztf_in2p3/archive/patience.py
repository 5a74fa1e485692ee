"""When to ask a busy server again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from ztf_in2p3.archive.errors import LoginRefused
from ztf_in2p3.errors import PipelineError, TransientError

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to wait here, before whoever asked is told to come back later."""

    tries: int = 3
    first_wait: float = 2.0
    """Seconds; doubled with every further try, where the server does not say how long."""
    longest_wait: float = 120.0
    """Seconds; a server that asks for more is left alone, and the request given up for now."""

    def __post_init__(self) -> None:
        if self.tries < 1 or self.first_wait < 0 or self.longest_wait < 0:
            raise ValueError(f"{self}: at least one try, and no negative waits")

    def keep_trying(
        self,
        attempt: Callable[[], T],
        sleep: Callable[[float], None],
        *,
        doubted: tuple[type[PipelineError], ...] = (),
    ) -> T:
        """The result of the first attempt that works.  The last TransientError, if none does.

        Without jitter: the number of simultaneous attempts is bounded anyway, and whoever
        retries hours later spreads its tries.

        Parameters
        ----------
        doubted
            Other errors that may be a slip of the server: believed when every try ended with one of them.
        """
        n_doubted = 0
        for failed in range(self.tries):
            last = failed == self.tries - 1
            wait = self.first_wait * 2**failed
            try:
                return attempt()
            except TransientError as error:
                wait = wait if error.retry_after is None else error.retry_after
                if last or wait > self.longest_wait:
                    raise
                logger.warning("%s; trying again in %g s", error, wait)
            except LoginRefused:
                raise
            except doubted as error:
                n_doubted += 1
                if last and n_doubted < self.tries:
                    raise TransientError(f"{error} (the tries before ended otherwise; try again later)") from error
                if last:
                    raise
                logger.warning("%s; asking again in %g s, should it be a slip", error, wait)
            sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks to wait; None without one that can be understood.

    It holds seconds, or a date (RFC 9110, 10.2.3).  A date is compared with the Date of the
    same answer, so that the server's clock and ours need not agree.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, now = moment(text), moment(headers.get("Date", ""))
    return max((until - now).total_seconds(), 0.0) if until and now else None


def moment(text: str) -> datetime | None:
    """A date of a header (RFC 9110, 5.6.7) with its time zone; None if it is none."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
