"""Pages of text that come in the place of data: what they say, and what that means."""

from __future__ import annotations

import re

_SOON_OVER = re.compile(
    r"maintenance|temporar|unavailable|try (again|later)|overload|too many|busy|time[d -]*out|gateway", re.IGNORECASE
)
_LOGIN_PAGE = re.compile(r"josso_(username|password)|/signon/login", re.IGNORECASE)
_MARKS = re.compile(r"<(style|script).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def is_login_page(page: bytes) -> bool:
    """Whether a page asks for name and password."""
    return _LOGIN_PAGE.search(page.decode("utf-8", "replace")) is not None


def words_of(page: bytes) -> str:
    """What a page of HTML or XML says, without its marks."""
    return " ".join(_MARKS.sub(" ", page.decode("utf-8", "replace")).split())


def is_soon_over(words: str) -> bool:
    """Whether a page speaks of a trouble that passes: maintenance, too many requests."""
    return _SOON_OVER.search(words) is not None
