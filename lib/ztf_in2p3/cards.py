"""The one reader of header values: what a card says, whoever wrote it.

Headers of the real world hold cards without value, NaN, numbers in quotes or with a decimal comma, hexadecimal
numbers, words where numbers belong, accents, cards twice, lower-case keywords.  The rule is the same for all: a
value that cannot be understood is unknown (None); where the value is indispensable the data are bad, and the
message names the file, the card, what was found and what was expected.

`parse_cards` makes of any bytes a header whose every card can be read, copied and written: what the standard does
not allow is kept as text.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from astropy.io import fits

from ztf_in2p3.errors import BadData

CARD = 80
"""Bytes."""

_VALUE = r"(?:[+-]?(?:\d+\.?\d{0,40}|\.\d{1,40})(?:[ED][+-]?[012]?\d{1,2})?|[TF]|'(?:[^'&]|'')*'|)"
_STANDARD = re.compile(
    rf"(?:[A-Z0-9_-]{{1,8}} *= (?<=^.{{10}}) *{_VALUE} *(?:/.*)?|(?:COMMENT |HISTORY |        ).*| *)$"
)
"""Cards that need no closer look: keyword, number or logical or closed string, comment."""
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}$")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?$", re.ASCII)
_HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]+$")
_LONGEST_TEXT = 68
"""Characters of a string in one card."""


def printable(text: bytes) -> str:
    """Bytes of a header as text; what FITS does not allow (accents, degree signs, control characters) becomes ``?``."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in text)


def parse_cards(text: bytes) -> fits.Header:
    """Header of the bytes up to its END card; every card of the result can be read, copied and written.

    A value that the standard does not allow becomes the text that stands there, so that a person can still see it;
    what has no valid keyword becomes a comment.
    """
    images = []
    for start in range(0, len(text) - CARD + 1, CARD):
        image = printable(text[start : start + CARD])
        if image.rstrip() == "END":
            break
        images.append(image)
    if all(map(_STANDARD.match, images)):
        return fits.Header.fromstring("".join(images))
    return fits.Header([_card(image) for image in _joined(images)])


def _joined(images: list[str]) -> Iterator[str]:
    """Cards, each with the CONTINUE cards of its long string."""
    start = 0
    while start < len(images):
        end = start + 1
        while end < len(images) and images[end].startswith("CONTINUE") and "&" in images[end - 1][10:]:
            end += 1
        yield "".join(images[start:end])
        start = end


def _card(image: str) -> fits.Card:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not image.startswith("CONTINUE"):
            try:
                card = fits.Card.fromstring(image)
                card.verify("exception")
                _ = card.keyword, card.comment
                if not isinstance(card.value, float) or math.isfinite(card.value):
                    return card
            except (fits.VerifyError, ValueError):
                pass
        keyword = image[:8].strip().upper()
        if image[8:10] != "= " or not _KEYWORD.match(keyword):
            return fits.Card("COMMENT", image.strip()[: CARD - 8])
        value, _, comment = image[10:CARD].partition("/")
        written = value.strip().replace("'", "")[:_LONGEST_TEXT]
        return fits.Card(keyword, written, comment.strip()[: max(0, _LONGEST_TEXT - 4 - len(written))])


def values(header: Mapping[str, Any], key: str) -> list[Any]:
    """What all cards of this name say, as astropy reads them; None for those without a value."""
    if not isinstance(header, fits.Header):
        return [header[key]] if key in header else []
    contents = []
    for index in range(header.count(key) if key in header else 0):
        try:
            value = header[key, index]
        except fits.VerifyError:  # a header that did not come through `parse_cards`
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = str(header.cards[key, index])[10:].partition("/")[0].strip()
        contents.append(None if isinstance(value, fits.card.Undefined) else value)
    return contents


def number(header: Mapping[str, Any], key: str) -> float | None:
    """A card's finite number, also one in quotes or hexadecimal; None if it is unknown.

    Unknown is a card that is not there, has no value, is NaN or infinite, a word, a logical, or there twice with
    different values.
    """
    return _agreed([_number(value) for value in values(header, key)])


def integer(header: Mapping[str, Any], key: str) -> int | None:
    """A card's whole number (3, 3.0, '3', 0x3); None if it is unknown, or no whole number."""
    value = _agreed([_number(value) for value in values(header, key)])
    return int(value) if value is not None and value == int(value) else None


def text(header: Mapping[str, Any], key: str) -> str | None:
    """A card's text without blanks around it, numbers as written; None if it is unknown or blank."""
    texts = [None if value is None else str(value).strip() or None for value in values(header, key)]
    return texts[0] if texts and all(value == texts[0] for value in texts) else None


def _agreed(numbers: list[int | float | None]) -> int | float | None:
    return numbers[0] if numbers and all(value == numbers[0] for value in numbers) else None


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        written = value.strip()
        if _HEXADECIMAL.match(written):
            return int(written, 16)
        if not _DECIMAL.match(written):
            return None
        value = float(written.replace("d", "e").replace("D", "e"))
    elif isinstance(value, bool) or not isinstance(value, (int, float)):  # numpy's logicals are no bool, nor a number
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number too large for a float
        return None


def describe(header: Mapping[str, Any], key: str) -> str:
    """What is found of a card, for messages: that it is missing, without value, or what it says."""
    contents = values(header, key)
    if not contents:
        return f"the header lacks {key}"
    if len(contents) > 1:
        return f"card {key} is there {len(contents)} times, as {' and '.join(map(repr, contents))}"
    return f"card {key} has no value" if contents[0] is None or contents[0] == "" else f"card {key} is {contents[0]!r}"


def required_number(
    header: Mapping[str, Any], key: str, name: str, expected: str = "a finite number", *, positive: bool = False
) -> float:
    """A card's number without which the data are of no use.

    Parameters
    ----------
    name
        Name of the file or quadrant, for the message.
    expected
        What the card should say, for the message.
    positive
        Whether it must be above 0.

    Raises
    ------
    BadData
        The value is unknown.
    """
    value = number(header, key)
    if value is None or (positive and value <= 0):
        above = " above 0" if positive else ""
        raise BadData(
            f"{name}: {describe(header, key)}; expected {expected}{above}: fetch the file again, or leave it out"
        )
    return float(value)
