"""What the stars of an exposure say of its PSF: normal equations, the stars' own parameters eliminated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.psf.map_kernels import add_maps, add_shapes
from ztf_in2p3.psf.model import PsfModel
from ztf_in2p3.psf.stars import FLAT, StarFluxes, StarStamps

AT_ONCE = 64
"""Stars whose maps are held at a time."""


class Splines(Protocol):
    """Places of the splines of a map; see `ztf_in2p3.psf.residual_map.MapTerms`."""

    @property
    def factors(self) -> NDArray[np.float64]:
        """Spacings of the levels' splines, in the finest."""
        ...

    @property
    def last(self) -> NDArray[np.int64]:
        """Nodes to either side of the middle one."""
        ...

    @property
    def number(self) -> NDArray[np.int64]:
        """Parameter of the spline at each node (level, y, x)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StarEquations:
    """Stars that show the PSF, under their present fluxes and places."""

    stamps: StarStamps
    own: NDArray[np.float64]
    """(star, 4): flux, x, y in the stamp, sky."""
    keep: NDArray[np.bool_]
    """(star, pixel)."""
    importance: NDArray[np.float64]
    """(star,): weight of each star's pixels."""
    soft: float
    """See `ztf_in2p3.psf.stars.measure_stars`."""

    @classmethod
    def of(
        cls, stamps: StarStamps, fluxes: StarFluxes, used: NDArray[np.bool_], importance: NDArray, soft: float
    ) -> StarEquations:
        """Equations of the stars that are used (star,), each with its importance (star,)."""
        parameters = np.column_stack([fluxes.flux, fluxes.place - stamps.corner, fluxes.sky])[used]
        keep = fluxes.keep[used].reshape(len(parameters), -1)
        return cls(stamps.only(used), parameters, keep, importance[used], min(soft, FLAT))

    def shapes(self, model: PsfModel, free: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Normal matrix (free, free) and right side of what is free (4, term) of the profile's shape."""
        pairs = np.argwhere(free)
        normal, right = np.zeros((len(pairs), len(pairs))), np.zeros(len(pairs))
        for first in range(0, len(self.own), AT_ONCE):
            part, by_term, _, _ = self._under(model, slice(first, first + AT_ONCE))
            add_shapes(*(*part, pairs, by_term, normal, right))
        return normal, right

    def with_map(self, model: PsfModel, free: NDArray[np.bool_], splines: Splines) -> tuple[NDArray[np.float64], ...]:
        """The same and those of the map's parameters, as `ztf_in2p3.psf.map_kernels.add_maps` says.

        `free`: (4, term).
        """
        pairs, n_term, n_map = np.argwhere(free), len(model.residual), int(splines.number.max()) + 1
        n = len(pairs)
        normal, right = np.zeros((n_term * (n_term + 1) // 2, n_map, n_map)), np.zeros((n_term, n_map))
        mixed, by_shape, shape_right = np.zeros((n, n_term, n_map)), np.zeros((n, n)), np.zeros(n)
        crossed = np.zeros((len(self.own), 4, n_term, n_map))
        for first in range(0, len(self.own), AT_ONCE):
            at = slice(first, first + AT_ONCE)
            part, by_term, terms, size = self._under(model, at)
            linear = np.ascontiguousarray(terms[:, :n_term])
            lie = (splines.factors, splines.last, splines.number)
            sums = (normal, right, mixed, by_shape, shape_right, crossed[at])
            add_maps(*(*part, pairs, by_term, linear, size, *lie, *sums))
        return normal, right, mixed, by_shape, shape_right, crossed

    def _under(self, model: PsfModel, at: slice) -> tuple[tuple[Any, ...], NDArray, NDArray, NDArray]:
        """Some stars under a model, as the kernels take them; derivatives by its terms, terms, size of the map."""
        stamps = self.stamps
        data = stamps.data[at].reshape(len(stamps.data[at]), -1)
        data = np.where(self.keep[at], data, 0).astype(float)
        terms = model.terms(stamps.expected[at])
        width, local = model.locals(stamps.expected[at])
        psfs = model.over(stamps.expected[at])
        by_term = np.repeat(terms[:, None, :], 4, axis=1)
        by_term[:, 0, 1:] *= 2 / width[:, None]  # of the width squared's logarithm by the width
        part = (
            local,
            psfs.residual,
            psfs.spacing,
            psfs.ripple,
            self.soft,
            self.importance[at],
            self.own[at],
            data,
            self.keep[at],
            stamps.side,
        )
        return part, by_term, terms, width**-2.0
