"""How a kind of product spells its data in its address and its file name, and how that is read back."""

from __future__ import annotations

import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, Self

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.periods import Period
from ztf_in2p3.products.address import NO_RECIPE, ProductRef
from ztf_in2p3.products.kinds import Kind

P = ParamSpec("P")

_EXPOSURE = r"(?P<exposure>\d{14}_\d{6}_[a-z]{2}_[obfd])"
_CCD = r"(?P<ccdid>\d\d)"
SPELLINGS = {
    "exposure": _EXPOSURE,
    "ccdid": _CCD,
    "qid": r"(?P<qid>\d)",
    "period": r"(?P<period>\d{8}_\d{8})",
    "night": r"(?P<night>\d{8})",
    "filter": r"(?P<filter>[a-z]{2})",
    "led": r"(?P<led>\d\d)",
    "image": rf"(?:image_[^/]+|{_EXPOSURE}/c{_CCD}_q(?P<qid>\d))",
    "part": rf"(?:(?P<filter>[a-z]{{2}})/)?(?:l(?P<led>\d\d)/)?c{_CCD}",
}
"""Patterns of the parts of a data id; a part that is not here is any text."""

_PART = re.compile(r"\{(?:\w+\.)?(\w+)(?::[^}]+)?\}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Spelling of one kind of product."""

    data_id: str
    """Text with blanks for what the product is of: ``{period}/{filter}/c{ccdid:02d}``."""
    file_name: str
    recipe: str
    """Name of the recipe's class; empty for what we did not compute."""
    meaning: str
    """What the product is, in a line."""
    pattern: re.Pattern[str]
    """Pattern of a data id, its groups named like the blanks."""

    @classmethod
    def of(cls, data_id: str, file_name: str, recipe: str, meaning: str) -> Self:
        """The layout, with the pattern that follows from the data id."""
        pattern, end = "", 0
        for match in _PART.finditer(data_id):
            spelling = SPELLINGS.get(match[1], f"(?P<{match[1]}>[^/]+)")
            pattern, end = pattern + re.escape(data_id[end : match.start()]) + spelling, match.end()
        return cls(data_id, file_name, recipe, meaning, re.compile(pattern + re.escape(data_id[end:])))


LAYOUTS: dict[Kind, list[Layout]] = defaultdict(list)
"""Layouts of each kind: one for most, several for tables, figures and pages of different things."""


def laid_out(
    *kinds: Kind, data: str, file: str
) -> Callable[[Callable[P, Mapping[str, object] | None]], Callable[P, ProductRef]]:
    """Make the address of a product from the arguments of the decorated function, which only says what it takes.

    The function may return values for further blanks.  Of several kinds, it takes the one meant as `kind`; from the
    recipe that it takes comes the digest.

    Parameters
    ----------
    data, file
        Data id and file name with blanks for the function's arguments.  In file names also: ``{dates}``, the period or
        night; ``{made}``, the exposure as files that are made of it begin.
    """

    def decorate(declare: Callable[P, Mapping[str, object] | None]) -> Callable[P, ProductRef]:
        parameters = inspect.signature(declare).parameters
        names = list(parameters)
        recipe = str(parameters["recipe"].annotation) if "recipe" in parameters else ""
        layout = Layout.of(data, file, recipe, (declare.__doc__ or "").strip())
        for kind in kinds:
            LAYOUTS[kind].append(layout)

        @functools.wraps(declare)
        def address(*args: P.args, **kwargs: P.kwargs) -> ProductRef:
            given: dict[str, object] = {**dict(zip(names, args, strict=False)), **kwargs}
            blanks = given | dict(declare(*args, **kwargs) or {})
            digest = recipes.digest(given["recipe"]) if "recipe" in given else NO_RECIPE
            kind = given.get("kind", kinds[0])
            file_name = file.format_map(blanks | _for_files(blanks))
            return ProductRef(Kind(kind), digest, data.format_map(blanks), file_name)  # type: ignore[arg-type]

        return address

    return decorate


def _for_files(blanks: Mapping[str, object]) -> dict[str, str]:
    """Parts of file names that follow from the data."""
    words = {}
    if isinstance(period := blanks.get("period"), Period):
        words["dates"] = period_name(period)
    if isinstance(ccd := blanks.get("ccd"), CcdExposure):
        words["made"] = our_name(ccd)
    return words


def period_name(period: Period) -> str:
    """Period as file names have it: one date, or first and last together."""
    return str(period).replace("_", "") if period.first != period.last else f"{period.first:%Y%m%d}"


def our_name(ccd: CcdExposure) -> str:
    """Stem of the names of files made of a CCD exposure."""
    return str(ccd).replace("ztf_", "ztfin2p3_", 1)
