"""Which HDU of a raw file holds which quadrant, and which its overscan.

As specified, HDUs 1 to 4 are quadrants 1 to 4 and HDUs 5 to 8 their overscans.  What the amplifiers say of
themselves counts more: AMP_ID is the quadrant's number less 1, CCD_ID that of the CCD (ZTF Science Data System
explanatory supplement).  Where they contradict themselves the file is refused; pixels are never given to a quadrant
by guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from astropy.io import fits

from ztf_in2p3.cards import describe, integer
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import N_QUADRANT

N_HDU = 1 + 2 * N_QUADRANT
_DO = "fetch it again, or reject the exposure"


class Image(Protocol):
    """An HDU, as far as its place in a raw file needs it."""

    @property
    def header(self) -> fits.Header:
        """Cards of the HDU."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns) of its image; () without one."""


@dataclass(frozen=True, slots=True)
class RawLayout:
    """Indices of HDUs, by qid - 1."""

    quadrants: tuple[int, ...]
    overscans: tuple[int, ...]

    @classmethod
    def of(cls, hdus: Sequence[Image], name: str) -> RawLayout:
        """Layout of the nine HDUs of a raw file.

        Parameters
        ----------
        name
            Name of the file, for the messages.

        Raises
        ------
        BadData
            There are not nine; they are not four images of one shape and four narrower ones of as many rows; or
            their AMP_IDs do not say which is which.
        """
        if len(hdus) != N_HDU:
            raise BadData(
                f"{name}: {len(hdus)} HDUs found, {N_HDU} expected (keywords, {N_QUADRANT} quadrants, "
                f"{N_QUADRANT} overscans); {_DO}"
            )
        shapes = {index: hdus[index].shape for index in range(1, N_HDU)}
        wide = sorted(shapes, key=lambda index: (shapes[index][-1:], -index), reverse=True)
        quadrants, overscans = sorted(wide[:N_QUADRANT]), sorted(wide[N_QUADRANT:])
        kinds = [{shapes[index] for index in part} for part in (quadrants, overscans)]
        (first, *odd_quadrants), (second, *odd_overscans) = kinds
        if odd_quadrants or odd_overscans or len(first) != 2 or len(second) != 2 or first[0] != second[0]:
            raise BadData(
                f"{name}: images of (rows, columns) {', '.join(str(shapes[index]) for index in sorted(shapes))}, but "
                f"four quadrants must be alike, their four overscans too, with as many rows; {_DO}"
            )
        as_specified = [*quadrants, *overscans] == list(range(1, N_HDU))
        placed = _by_quadrant(hdus, quadrants, name, usual=as_specified)
        return cls(placed, _by_quadrant(hdus, overscans, name, usual=as_specified and placed == tuple(quadrants)))


def _by_quadrant(hdus: Sequence[Image], indices: Sequence[int], name: str, *, usual: bool) -> tuple[int, ...]:
    """Indices in the order of the quadrants, as AMP_ID says; where it is unknown, in the usual order of a file."""
    amplifiers = [integer(hdus[index].header, "AMP_ID") for index in indices]
    known = [amplifier for amplifier in amplifiers if amplifier is not None]
    if len(set(known)) < len(known) or not set(known) <= set(range(N_QUADRANT)):
        words = "; ".join(f"HDU {index}: {describe(hdus[index].header, 'AMP_ID')}" for index in indices)
        raise BadData(f"{name}: contradictory amplifiers ({words}); expected each of 0 to {N_QUADRANT - 1} once; {_DO}")
    missing = [amplifier for amplifier in range(N_QUADRANT) if amplifier not in known]
    if len(missing) == 1:
        amplifiers = [missing[0] if amplifier is None else amplifier for amplifier in amplifiers]
    elif missing:
        if not usual or any(at is not None and at != place for place, at in enumerate(amplifiers)):
            lost = next(index for index, at in zip(indices, amplifiers, strict=True) if at is None)
            raise BadData(
                f"{name}: its HDUs are not in the usual order, and HDU {lost} does not say which quadrant it is of "
                f"({describe(hdus[lost].header, 'AMP_ID')}); {_DO}"
            )
        return tuple(indices)
    return tuple(indices[amplifiers.index(amplifier)] for amplifier in range(N_QUADRANT))
