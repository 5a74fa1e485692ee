"""Deferred charge (serial CTI, the "pocket effect"), power-law model of a pocket, undone.

The pocket lies at the end of the serial register.  It traps a part of each pixel's charge on its
way out and gives it back to the pixels that follow.  Along a row in
readout order, with q in the pocket (0 before the first pixel) and n the true charge of a pixel,

    x = q / cmax,  released = cmax x^alpha,  captured = min(cmax (1 - x)^alpha (n / nmax)^beta, n),
    observed = n + released - captured,  q -> q - released + captured

(ztfsensors 0.1, github.com/MickaelRigault/ztfsensors).  Given q, one pixel is a scalar equation,

    n - C n^beta = observed - released,  C = cmax (1 - x)^alpha / nmax^beta,

convex and growing beyond the charge that is captured whole, so Newton's method from its right
side cannot fail.  Rows go in lockstep, a column at a time, so that the processor works on many at
once; powers are computed in float32 to 2 parts in 10^7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.compiled import compiled

_LANES = 256
"""Rows in lockstep."""
_TILE = 16
"""Columns turned round at a time: a cache line of them."""
_EXACT = np.float32(1e-3)
"""ADU.  Newton steps go on until none of the rows is further than this from its root."""
_EDGE = np.float32(0.02)
"""ADU.  A pixel must show so much more than the release to be known: less is rounding of bright neighbours."""
DOUBT = 3.0
"""Standard deviations over the release that a pixel must show to be told from a pixel that was captured whole."""
MOST_DOUBTFUL = 0.02
"""Share of the rows with such a pixel, from which on the whole column is lost, and the next ones."""
MEMORY = 8
"""Columns after which a pocket has forgotten what it held: a third or more of it goes in each."""
_STEPS = 12
"""Three are usual; so many are never needed."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Pocket of one amplifier; charges in ADU."""

    alpha: float
    cmax: float
    beta: float
    nmax: float

    @property
    def threshold(self) -> float:
        """Largest charge that an empty pocket takes whole, ADU."""
        return float((self.cmax / self.nmax**self.beta) ** (1 / (1 - self.beta)))

    def recover(
        self, light: NDArray[np.float32], lost: NDArray[np.bool_], *, backwards: bool, noise: float = 0.0
    ) -> tuple[NDArray[np.float32], int]:
        """Put the charge back where it came from.

        A pixel that shows no more than what the pocket released was captured whole: what it
        held is not known, so it is left as observed, and the pocket taken to have received as much.

        Parameters
        ----------
        light : (row, column), linear ADU over offset and bias
            Observed; becomes the true one, in place.  NaN pixels stay, and pass the pocket on as they found it.
        lost : (row, column)
            Set where a pixel was captured whole; left alone elsewhere.
        backwards
            Whether the last stored column is the first read (quadrants 2 and 3).
        noise
            Standard deviation of a dark pixel, ADU.  A pixel that shows less than `DOUBT` times that over the
            release, in front of a pocket that could have captured more, may have been captured whole: it is given
            the charge of what it shows, which is too much on average, and counts as lost.  Where many rows lose a
            column, those that show more by chance are no better, nor are the next columns, read behind a pocket of
            unknown content: all of them count as lost.

        Returns
        -------
        charge : (row,), ADU
            Left in the pocket behind the last pixel.
        n_lost
            0 if no pixel is lost.
        """
        charge = np.zeros(len(light), np.float32)
        n_lost = 0
        doubt = np.float32(max(DOUBT * noise, float(_EDGE)))
        # A pocket takes n whole where n < factor n^beta.
        empty = np.float32(doubt ** np.float32(1 - self.beta)) if noise > 0 else np.float32(np.inf)
        constants = (*self._constants(), doubt, empty)
        for start in range(0, len(light), _LANES):
            rows = slice(start, start + _LANES)
            n_lost += _recover(light[rows], charge[rows], lost[rows], backwards, *constants)
        return charge, n_lost

    def trailed_charge(self, charge: NDArray, columns: int) -> NDArray[np.float64]:
        """What the overscan shows of the charge left in the pocket: (row, column) in readout order, ADU."""
        left = np.asarray(charge, np.float64).copy()
        released = np.empty((len(left), columns))
        for column in range(columns):
            released[:, column] = self.cmax * (left / self.cmax) ** self.alpha
            left -= released[:, column]
        return released

    def _constants(self) -> tuple[np.float32, ...]:
        gain = self.cmax * self.nmax**-self.beta
        return tuple(np.float32(value) for value in (self.alpha, self.cmax, self.beta, gain, self.threshold))


_LOG2 = tuple(
    np.float32(c)
    for c in (
        1.442695,
        -0.72134747,
        0.48091075,
        -0.36069327,
        0.28790326,
        -0.23916988,
        0.21607823,
        -0.20586188,
        0.12310968,
    )
)
"""log2(1 + t) / t between sqrt(1/2) and sqrt(2), at Chebyshev's nodes: to 1.5e-8."""
_EXP2 = tuple(np.float32(c) for c in (1.00000008, 0.69314719, 0.24022107, 0.05550357, 0.00967603, 0.00133909))
"""2^t between -1/2 and 1/2, likewise: to 1.0e-7."""
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = _LOG2
_E0, _E1, _E2, _E3, _E4, _E5 = _EXP2
_ONE, _ZERO = np.float32(1), np.float32(0)

# Products may be fused with sums; nothing else that would lose NaN.
_jit = compiled(fastmath={"contract"})


@_jit
def _power(x, exponent):  # type: ignore[no-untyped-def]
    """x ** exponent, float32, x not negative.  The library's own does not go through vector registers."""
    bits = np.float32(x).view(np.int32)
    e = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))  # so that the rest lies around 1
    t = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32) - _ONE
    log = t * (_L0 + t * (_L1 + t * (_L2 + t * (_L3 + t * (_L4 + t * (_L5 + t * (_L6 + t * (_L7 + t * _L8))))))))
    y = max(exponent * (np.float32(e) + log), np.float32(-126))  # 0 ends at 1e-38
    k = np.int32(np.int32(y + np.float32(126.5)) - np.int32(126))
    t = y - np.float32(k)
    p = _E0 + t * (_E1 + t * (_E2 + t * (_E3 + t * (_E4 + t * _E5))))
    return np.int32(np.float32(p).view(np.int32) + np.int32(k << np.int32(23))).view(np.float32)


@_jit
def _recover(light, charge, lost, backwards, alpha, cmax, beta, gain, threshold, doubt, empty):  # type: ignore[no-untyped-def]
    n_row, n_column = light.shape
    tile = np.zeros((_TILE, _LANES), np.float32)
    true, remaining, factor = np.empty(_LANES, np.float32), np.empty(_LANES, np.float32), np.empty(_LANES, np.float32)
    q, released = np.zeros(_LANES, np.float32), np.empty(_LANES, np.float32)
    captured = np.zeros(_LANES, np.float32)
    for r in range(n_row):  # in slices it would take 2 s more to compile
        q[r] = charge[r]
    n_lost, unknown = 0, 0
    memory, most_doubtful = MEMORY, MOST_DOUBTFUL
    for first in range(0, n_column, _TILE):
        width = min(_TILE, n_column - first)
        at = n_column - first - width if backwards else first
        for r in range(n_row):
            for i in range(width):
                tile[i, r] = light[r, at + i]
        for step in range(width):
            i = width - 1 - step if backwards else step
            column = tile[i]
            for r in range(n_row):
                x = q[r] * (_ONE / cmax)
                released[r] = cmax * _power(x, alpha)
                factor[r] = gain * _power(_ONE - x, alpha)
                remaining[r] = column[r] - released[r]
                true[r] = max(remaining[r] + captured[r], threshold)
            _solve(true[:n_row], remaining, factor, captured, beta)
            n_here = 0
            for r in range(n_row):
                known = remaining[r] > _EDGE
                observed = column[r]
                missing = observed != observed
                taken = captured[r] if known else (released[r] if missing else max(observed, _ZERO))
                captured[r] = taken
                q[r] = min(max(q[r] - released[r] + taken, _ZERO), cmax)
                column[r] = true[r] if known else observed
                n_here += remaining[r] <= doubt
            if n_here:
                n_doubtful = 0
                for r in range(n_row):
                    doubtful = remaining[r] <= doubt and factor[r] > empty
                    n_doubtful += doubtful
                    if remaining[r] <= _EDGE or doubtful:
                        lost[r, at + i] = True
                        n_lost += 1
                if n_doubtful > max(2, most_doubtful * n_row):
                    unknown = memory
            if unknown > 0:
                unknown -= 1
                n_lost += 1
                for r in range(n_row):
                    lost[r, at + i] = True
        for r in range(n_row):
            for i in range(width):
                light[r, at + i] = tile[i, r]
    for r in range(n_row):
        charge[r] = q[r]
    return n_lost


@_jit
def _solve(true, remaining, factor, captured, beta):  # type: ignore[no-untyped-def]
    """Roots of n - factor n^beta = rest from the start in `true`, and what was captured there."""
    n_row = len(true)
    for step in range(_STEPS):
        n_far = 0
        for r in range(n_row):
            n = true[r]
            part = factor[r] * _power(n, beta)
            fall = beta * part / n
            slope = _ONE - fall
            change = (n - part - remaining[r]) / slope
            true[r] = n - change
            captured[r] = part - fall * change
            # What the tangent leaves of it is half the second derivative over the slope times the square of the change.
            n_far += (fall * change * change > _EXACT * n * slope) & (remaining[r] > _EDGE)
        if step > 0 and n_far == 0:
            return
