"""Flat of a filter: the flats of its LEDs, averaged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.detrend.ccd_master import CcdMaster, ccd_median
from ztf_in2p3.detrend.lamp_light import LampLevel
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import FlatRecipe
from ztf_in2p3.store.fits import Cards

_ROWS = 256
"""Rows of LED flats averaged at a time."""
_QIDS = range(1, N_QUADRANT + 1)
_CORRECTIONS = ("OSCANCOR", "LINCOR", "POCKCOR", "CLIP")


def combine_leds(
    flats: Collection[CcdMaster], recipe: FlatRecipe, *, cards: Cards | None = None, lacking: Collection[int] = ()
) -> CcdMaster:
    """Flat of a filter: weighted mean of its LEDs' flats; a LED of weight 0 is left out.

    Each LED's level counts in FLTNORM with the LED's weight.  A pixel that some LEDs do not
    know is made of the others; a LED that lacks a whole quadrant is first brought to the scale of those that have
    it, since its own median is that of the other quadrants.  Lamps differ in how they light the CCD, so a mean of
    fewer of them is another flat: LEDLACK1 to 4 say which a quadrant lacks.

    Parameters
    ----------
    flats
        Flats of one CCD.  One quadrant of each is asked for at a time: open files (`CcdMaster.open`) need the
        memory of a quadrant.
    lacking
        LEDs of which there were frames, but no flat could be made.

    Raises
    ------
    BadData
        Flats of several CCDs.
    MissingProduct
        No flat, or none with a weight.
    """
    ccdids = {flat.ccdid for flat in flats}
    if len(ccdids) > 1:
        raise BadData(f"LED flats of CCDs {sorted(ccdids)}; a flat is of one CCD")
    named = dict(recipe.weights)
    leds = [int(flat.number("LED")) for flat in flats]
    chosen = [(flat, led, named.get(led, 1.0)) for flat, led in zip(flats, leds, strict=True)]
    chosen = [parts for parts in chosen if parts[2] != 0]
    if not chosen:
        raise MissingProduct(
            f"no LED flat with a weight to combine (weights {recipe.weights}); make the LED flats first"
        )
    used, weights = [flat for flat, _, _ in chosen], [weight for _, _, weight in chosen]
    by_led = sorted((led, weight) for _, led, weight in chosen)
    means = {qid: _weighted_mean(used, weights, qid) for qid in _QIDS}
    scales = _scales(used, means)
    if any(scale != 1 for scale in scales):
        means = {qid: _weighted_mean(used, weights, qid, scales) for qid in _QIDS}
    data = {qid: mean.data for qid, mean in means.items()}
    levels = [flat.number("LEDNORM") / scale for flat, scale in zip(used, scales, strict=True)]
    n_frames = [int(flat.number("NFRAMES")) for flat in used]
    without = _leds_without(means, [led for _, led, _ in chosen], lacking)
    return CcdMaster(
        ccdids.pop(),
        data,
        {qid: mean.variance for qid, mean in means.items()},
        {qid: mean.count for qid, mean in means.items()},
        {
            **{key: used[-1].cards[key] for key in _CORRECTIONS if key in used[-1].cards},
            "NFRAMES": (sum(n_frames), "frames combined"),
            "LEDS": (",".join(str(led) for led, _ in by_led), "flat-field LEDs"),
            "LEDWEIGH": (",".join(f"{weight:g}" for _, weight in by_led), "their weights"),
            "FLTNORM": (float(np.average(levels, weights=weights)), "mean of the LEDs' levels [adu]"),
            "FLTMED": (ccd_median(data), "median of the CCD"),
            **_worst(used),
            **_lamp_cards(chosen, levels),
            **{f"LEDLACK{qid}": (",".join(map(str, leds)), f"LEDs lacking in quadrant {qid}") for qid, leds in without},
            **(cards or {}),
        },
        _left_out([(led, flat) for flat, led, _ in chosen]),
    )


# --- small parts


@dataclass(frozen=True, slots=True, eq=False)
class _Mean:
    """Weighted mean of one quadrant over LEDs."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    count: NDArray[np.uint16]
    known: tuple[bool, ...]
    """Which of the flats have any data there."""


def _weighted_mean(
    flats: Sequence[CcdMaster], weights: Sequence[float], qid: int, scales: Sequence[float] | None = None
) -> _Mean:
    """Mean of one quadrant, each pixel of those flats that know it; `scales`: factors of the flats."""
    has_data = []
    for i, (flat, weight) in enumerate(zip(flats, weights, strict=True)):
        data, variance, count = flat.data[qid], flat.variance[qid], flat.count[qid]
        factor = np.float32(1 if scales is None else scales[i])
        if i == 0:
            total = [np.zeros(data.shape, kind) for kind in (np.float32, np.float32, np.uint16, np.float32)]
        n_known = 0
        for start in range(0, len(data), _ROWS):
            rows = slice(start, start + _ROWS)
            known = np.isfinite(data[rows]) & np.isfinite(variance[rows])
            n_known += int(known.sum())
            w = known * np.float32(weight)
            total[0][rows] += np.where(known, data[rows], 0) * (w * factor)
            total[1][rows] += np.where(known, variance[rows], 0) * (w * factor) * (w * factor)
            total[2][rows] += np.where(known, count[rows], 0).astype(np.uint16)
            total[3][rows] += w
        has_data.append(n_known > 0)
        del data, variance, count  # not to be in memory with those of the next
    mean, variance_of_mean, frames, w = total
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 = NaN: no LED knows the pixel
        mean /= w
        variance_of_mean /= w * w
    return _Mean(mean, variance_of_mean, frames, tuple(has_data))


def _scales(flats: Sequence[CcdMaster], means: Mapping[int, _Mean]) -> list[float]:
    """Factor of each LED's flat that brings it to the scale of a flat of all quadrants that any LED has.

    A flat without a quadrant was divided by the median of the others, which is not the CCD's.  What that median is
    in units of the CCD's, the flats that have all quadrants say.
    """
    known = {qid: mean.known for qid, mean in means.items() if any(mean.known)}
    whole = [index for index in range(len(flats)) if all(has[index] for has in known.values())]
    if len(whole) == len(flats):
        return [1.0] * len(flats)
    reference = {qid: mean.data for qid, mean in means.items()}
    if whole:
        complete, weights = [flats[index] for index in whole], [1.0] * len(whole)
        reference = {qid: _weighted_mean(complete, weights, qid).data for qid in known}
    ccd = ccd_median({qid: reference[qid] for qid in known})
    return [
        1.0 if index in whole else ccd_median({qid: reference[qid] for qid, has in known.items() if has[index]}) / ccd
        for index in range(len(flats))
    ]


def _leds_without(
    means: Mapping[int, _Mean], leds: Sequence[int], lacking: Collection[int]
) -> list[tuple[int, list[int]]]:
    """LEDs that each quadrant with data lacks, of the quadrants that lack any."""
    without = {
        qid: sorted({*lacking, *(led for led, has in zip(leds, mean.known, strict=True) if not has)})
        for qid, mean in means.items()
        if any(mean.known)
    }
    return [(qid, missing) for qid, missing in without.items() if missing]


def _lamp_cards(
    chosen: Sequence[tuple[CcdMaster, int, float]], levels: Sequence[float]
) -> dict[str, tuple[Value, str]]:
    """Cards of the LEDs' levels and of their frames'."""
    cards: dict[str, tuple[Value, str]] = {}
    for (flat, led, weight), level in zip(chosen, levels, strict=True):
        lamp = LampLevel.read(flat.cards, led, weight)
        cards |= {} if lamp is None else replace(lamp, level=level).cards()
    return cards


def _left_out(flats: Sequence[tuple[int, CcdMaster]]) -> dict[str, Value]:
    """Frames left out of each quadrant, LED by LED, where any are."""
    reasons = {
        qid: "; ".join(f"LED {led}: {flat.value(key)}" for led, flat in flats if (key := f"WHYLEFT{qid}") in flat.cards)
        for qid in _QIDS
    }
    return {f"left_out_q{qid}": reason for qid, reason in reasons.items() if reason}


def _worst(flats: Sequence[CcdMaster]) -> dict[str, tuple[Value, str]]:
    """Cards of the LEDs' flats that tell how good they are, each of the worst of them."""
    cards: dict[str, tuple[Value, str]] = {}
    for keyword in ("LEDRMS", *(f"EXCESS{qid}" for qid in _QIDS)):
        values = [flat.number(keyword) for flat in flats if keyword in flat.cards]
        if values:
            of_lamp = keyword == "LEDRMS"
            comment = "scatter of the lamp" if of_lamp else "frame's variance over the predicted"
            cards[keyword] = (max(values), f"{comment}, worst LED")
    return cards
