"""Terms of a model of star measurements: which parameter a row touches, and with which value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.fit.gauge import Degeneracy
from ztf_in2p3.fit.model import Coarse, Family, Floats
from ztf_in2p3.fit.superpixels import Superpixels

Columns = Mapping[str, NDArray]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A family of parameters and how measurements touch it."""

    family: Family
    index: Callable[[Columns], NDArray]
    """Function from columns to the parameter of each row, counted within the family."""
    value: Callable[[Columns], NDArray] | None = None
    """What it is multiplied with; None: 1."""
    columns: tuple[str, ...] = ()
    """Needed besides star_id, exposure, rcid, mag and mag_e."""


def exposure_term(exposures: NDArray, *, sigma: float | None = None, name: str = "zero_point") -> Term:
    """A zero point for each exposure; with `sigma`, drawn to zero: what a common term does not explain.

    `exposures`: (exposure,).
    """
    n = len(exposures)
    prior = None if sigma is None else np.full(n, sigma)
    family = Family(name, exposures, prior_sigma=prior, coarse=Coarse.identity(n), watched=True)
    return Term(family, lambda rows: np.searchsorted(exposures, rows["exposure"]))


def night_term(nights: Floats) -> Term:
    """A zero point for each night.  `nights`: (night,)."""
    family = Family("night", nights, coarse=Coarse.identity(len(nights)), watched=True)
    return Term(family, lambda rows: _night(rows, nights), columns=("mjd",))


def map_term(cells: Superpixels) -> Term:
    """A response in each cell of the focal plane."""
    family = Family("map", np.arange(cells.size), coarse=cells.coarse())
    return Term(family, cells.index_of_rows, columns=cells.columns)


def gain_term(nights: Floats, n_quadrant: int) -> Term:
    """A gain of each quadrant in each night's sequence; labels are night and rcid.  `nights`: (night,)."""
    labels = np.stack(np.divmod(np.arange(len(nights) * n_quadrant), n_quadrant), axis=1)
    labels[:, 0] = nights[labels[:, 0]]
    family = Family("gain", labels, coarse=Coarse.identity(len(labels)))
    return Term(family, lambda rows: _night(rows, nights) * n_quadrant + rows["rcid"], columns=("mjd",))


def epoch_term(edges: tuple[float, ...], n_quadrant: int) -> Term:
    """A zero point of each quadrant between changes of the camera (edges, mjd); labels are epoch and rcid."""
    n = (len(edges) + 1) * n_quadrant
    labels = np.stack(np.divmod(np.arange(n), n_quadrant), axis=1)
    family = Family("quadrant_epoch", labels, coarse=Coarse.identity(n), watched=True, fixed_if_unknown=True)

    def index(rows: Columns) -> NDArray:
        if not edges:
            return rows["rcid"].astype(np.int64)
        return np.searchsorted(np.array(edges), rows["mjd"], side="right") * n_quadrant + rows["rcid"]

    return Term(family, index, columns=("mjd",) if edges else ())


def quadrant_exposure_term(
    exposures: NDArray,
    occurs: NDArray[np.bool_],
    centre: tuple[Floats, Floats],
    *,
    sigma: float | None = None,
    name: str = "zero_point",
) -> Term:
    """A zero point of each quadrant in each exposure that occurs; labels are exposure and rcid.

    Parameters
    ----------
    occurs
        (exposure, rcid): which have measurements.
    centre
        Focal-plane position u, v of each quadrant's centre, on any scale of order one.
    sigma
        Standard deviation around zero; None: free.
    """
    n_quadrant = len(centre[0])
    code = np.flatnonzero(occurs)
    number = np.zeros(occurs.size, np.int64)
    number[code] = np.arange(len(code))
    at, quadrant = np.divmod(code, n_quadrant)
    labels = np.column_stack([exposures[at], quadrant])
    coarse = Coarse.groups(at, np.column_stack([centre[0][quadrant], centre[1][quadrant]])) if sigma is None else None
    prior = None if sigma is None else np.full(len(code), sigma)
    family = Family(name, labels, prior_sigma=prior, coarse=coarse, watched=True)
    return Term(family, lambda rows: number[np.searchsorted(exposures, rows["exposure"]) * n_quadrant + rows["rcid"]])


def colour_term(cells: Superpixels, centre: float) -> Term:
    """A colour coefficient in each cell, times colour over the sample's mean."""
    name, size = "colour_map", cells.size
    family = Family(name, np.arange(size), valued=True, coarse=cells.coarse(), unit="mag / mag")
    return Term(
        family,
        cells.index_of_rows,
        lambda rows: rows["colour"].astype(float) - centre,
        (*cells.columns, "colour"),
    )


ONE_AIRMASS = Degeneracy(
    "airmass against zero_point: every exposure has one airmass",
    "airmass",
    1,
    True,
    float("nan"),
    "no airmass term: zero points hold the extinction; give each measurement its airmass, or a prior",
)
"""Why a model has no airmass term although it was asked for."""


def airmass_term(nights: Floats, prior: tuple[float, float] | None) -> Term:
    """An extinction coefficient for each night, times airmass - 1; prior mean and standard deviation.

    `nights`: (night,).
    """
    n = len(nights)
    family = Family(
        "airmass",
        nights,
        valued=True,
        constant_in_star=False,
        coarse=Coarse.identity(n),
        unit="mag / airmass",
        prior_mean=None if prior is None else np.full(n, prior[0]),
        prior_sigma=None if prior is None else np.full(n, prior[1]),
    )
    return Term(
        family, lambda rows: _night(rows, nights), lambda rows: rows["airmass"].astype(float) - 1, ("mjd", "airmass")
    )


def _night(rows: Columns, nights: Floats) -> NDArray[np.int64]:
    return np.searchsorted(nights, np.floor(rows["mjd"]))
