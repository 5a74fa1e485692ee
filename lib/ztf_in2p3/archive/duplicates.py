"""Rows that list the same thing twice, and do not agree on what it is called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ztf_in2p3.archive.listing import Skipped
from ztf_in2p3.identifiers import CcdExposure, ImageType

Listed = tuple[CcdExposure, int | None]
"""A raw file (no qid) or a science quadrant."""


def without_contradictions(listed: Iterable[Listed], what: str) -> tuple[list[Listed], list[Skipped]]:
    """The different entries of a table, sorted, and what is set aside because another entry contradicts it.

    A CCD, or a quadrant of it, was read once in an exposure, and an exposure has one field and one filter.  Where two
    entries disagree, the one stays that agrees with most of the exposure's other entries.  Without a majority both
    stay: only one of the files can be there, and asking for the other costs one request.  Of a bias frame the one
    without a field stays, which is how most of their files are called.
    """
    entries = sorted(set(listed), key=lambda entry: (entry[0], entry[1] or 0))  # the same words in every run
    rivals: dict[tuple[str, ImageType, int, int | None], list[Listed]] = defaultdict(list)
    votes: Counter[tuple[str, ImageType, int, str]] = Counter()
    for ccd, qid in entries:
        exposure = ccd.exposure
        rivals[exposure.filefracday, exposure.image_type, ccd.ccdid, qid].append((ccd, qid))
        votes[_name(ccd)] += 1
    kept: list[Listed] = []
    skipped: list[Skipped] = []
    for group in rivals.values():
        most = max(votes[_name(ccd)] for ccd, _ in group)
        stay = [(ccd, qid) for ccd, qid in group if votes[_name(ccd)] == most]
        if stay[0][0].exposure.image_type is ImageType.BIAS:
            stay = [min(stay, key=lambda entry: entry[0])]
        kept += stay
        names = " or ".join(sorted(str(ccd) for ccd, _ in stay))
        skipped += [
            Skipped(
                what,
                "the same CCD of the same exposure is listed under another field or filter too, as most of "
                "the exposure is",
                1,
                (f"{ccd}, not {names}",),
            )
            for ccd, qid in sorted(group, key=str)
            if (ccd, qid) not in stay
        ]
    return sorted(kept, key=lambda entry: (entry[0], entry[1] or 0)), skipped


def _name(ccd: CcdExposure) -> tuple[str, ImageType, int, str]:
    exposure = ccd.exposure
    return exposure.filefracday, exposure.image_type, exposure.field, exposure.filter
