"""FITS files with something wrong in them, one thing at a time, drawn by chance."""

from __future__ import annotations

import os

import numpy as np

from ztf_in2p3.simulate.faults import BAD_VALUES, BLOCK, CARD, N_HDU, bad_card, header_range

TOTAL = int(os.environ.get("ZTF_MUTATIONS", "600"))
"""Mutations by all tests together, about; set it to 20000 to look longer."""


def count(share: float) -> int:
    """How many of the mutations are a test's."""
    return max(20, round(TOTAL * share))


def mutated(content: bytes, rng: np.random.Generator, n_hdu: int = 0) -> tuple[bytes, str]:
    """The file with one card spoilt, or some of its bytes; and the keyword, or "" for bytes.

    It has `n_hdu` HDUs; if not given, one, or the nine of a raw file.
    """
    n_hdu = n_hdu or (N_HDU if content.count(b"XTENSION") > 1 else 1)
    changed, kind = bytearray(content), rng.choice(["value", "removed", "twice", "latin", "bytes", "cut"])
    if kind == "cut":
        return content[: int(rng.integers(0, len(content)))], ""
    if kind == "bytes":
        for at in rng.integers(0, len(content), int(rng.integers(1, 4))):
            changed[at] ^= int(rng.integers(1, 256))
        return bytes(changed), ""
    start, end = header_range(content, int(rng.integers(0, n_hdu)))
    at = start + CARD * int(rng.integers(1, (end - start) // CARD))
    key = bytes(changed[at : at + 8]).decode("ascii").strip()
    value = str(rng.choice(BAD_VALUES))
    card = {
        "value": bad_card(key, value).encode(),
        "removed": b"",
        "latin": bytes(changed[at : at + 40]) + b" / \xb0\xe9 in a comment",
        "twice": bad_card(key, "77").encode(),
    }[str(kind)]
    if kind == "twice" and (end - start) // CARD % (BLOCK // CARD) < BLOCK // CARD - 2:
        changed[end : end + CARD] = card.ljust(CARD)
        changed[end + CARD : end + 2 * CARD] = b"END".ljust(CARD)
    elif kind != "twice":
        changed[at : at + CARD] = card.ljust(CARD)[:CARD]
    return bytes(changed), key
