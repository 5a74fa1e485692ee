"""One stream of random numbers for each effect of each file.

Any file can therefore be made again alone, in any process and any order, and switching one
effect off leaves the draws of the others as they were.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, effect: str, *key: int) -> np.random.Generator:
    """Random numbers of one effect; `key` names the exposure, CCD, quadrant or patch of sky it is drawn for.

    One effect must always be given keys of the same length: a missing key and a zero are one to `SeedSequence`.
    """
    entropy = [seed, zlib.crc32(effect.encode()), *key]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy)))
