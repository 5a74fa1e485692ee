"""Numbers as tables of archives write them."""

from __future__ import annotations

import math
import re

_HEXADECIMAL = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
_EMPTY = {"", "null", "nan", "none", "--"}
"""What stands in a cell without a value, in lower case."""


def is_empty(cell: str) -> bool:
    """Whether a cell holds no value."""
    return cell.lower() in _EMPTY


def whole_number(cell: str) -> int:
    """An integer written as 655, 000655, 655.0, 6.55e2 or 0x28f (IRSA's own CSV has all but the exponent).

    Raises
    ------
    ValueError
        The cell is anything else, a fraction or an empty cell included.
    """
    if _HEXADECIMAL.fullmatch(cell):
        return int(cell, 16)
    if cell.isascii() and cell.isdigit():
        return int(cell)
    number = float(cell)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"{cell!r} is no whole number")
    return int(number)
