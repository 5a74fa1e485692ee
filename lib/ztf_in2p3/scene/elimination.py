"""One exposure's part in the fit, after its nuisance parameters were eliminated (Schur complement).

Whitened by the exposure's variance and by weights of the pixels that depend on where the source is, not on its flux
(`ztf_in2p3.psf.stars`: stars are measured with the same), with A the galaxy nodes, E the position and
N = [sky, throughput, shift x, shift y, flux] completed by a row for each prior, N = QR leaves for the common
parameters the normal equations X^T X - (Q^T X)^T (Q^T X), X = [A E]; only A^T A is large, and the same in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from ztf_in2p3.directions import JULIAN_YEAR
from ztf_in2p3.psf.stars import FLAT
from ztf_in2p3.scene.design import Design
from ztf_in2p3.scene.model import Series
from ztf_in2p3.scene.pixel_kernels import border_level, keep_pixels, orthonormal

N_NUISANCE = 5
"""Nuisance parameters of each exposure: sky, throughput, shift along x and y, flux."""
FLUX = N_NUISANCE - 1


@dataclass(eq=False)
class SceneState:
    """The model as it now stands."""

    galaxy: NDArray[np.float64]
    place: NDArray[np.float64]
    """(2,) or (4,): position, proper motion."""
    nuisance: NDArray[np.float64]
    """(exposure, N_NUISANCE)."""
    keep: NDArray[np.bool_]
    """(exposure, pixel)."""
    start: NDArray[np.bool_]
    """(exposure, pixel): good before anything was rejected."""
    free_place: bool = False


@dataclass(eq=False)
class Pixels:
    """One exposure under the current model; whitened."""

    nodes: NDArray[np.float64]
    """(node, pixel), not whitened."""
    keep: NDArray[np.bool_]
    data: NDArray[np.float64]
    """(pixel,), 0 where not kept."""
    place: NDArray[np.float64]
    """(len(place), pixel): derivatives by the position."""
    q: NDArray[np.float64]
    """(N_NUISANCE, pixel + N_NUISANCE - 1)."""
    r: NDArray[np.float64]
    """(N_NUISANCE, N_NUISANCE)."""
    scale: float
    """Factor from galaxy flux to pixels whitened by the variance."""
    root: NDArray[np.float64]
    """(pixel,): root of the pixels' weights."""
    pull: NDArray[np.float64]
    """(pixel,) residual over the standard deviation of the model, whatever was rejected."""
    light: NDArray[np.float64]
    """(pixel,): the model's light over its border, in standard deviations of the model."""
    variance: NDArray[np.float64]
    """(pixel,) of whitened pixels: (1 and the photons of the model) times the weight."""


class ExposureModel:
    """Linearises the exposures of a series around the current model."""

    def __init__(self, series: Series, design: Design, soft: float = FLAT) -> None:
        self.series, self.design, self.soft = series, design, min(soft, FLAT)
        self.years = (series.mjd - np.mean(series.mjd)) / JULIAN_YEAR
        self._to_sky = np.linalg.inv(series.matrix)
        self._data = series.data.reshape(len(series), -1)
        errors = np.column_stack([series.throughput_error, series.shift_error, series.shift_error])
        self._free = errors > 0
        self._prior = 1 / np.where(self._free, errors, 1)
        self.root = np.ones(self._data.shape)
        self.centre(np.zeros(2))

    def centre(self, place: NDArray) -> None:
        """Weigh the pixels as around a source there (sky).  `place`: (2,)."""
        self.centred = place.copy()
        square = (self.series.side, self.series.side)
        for i in self.design.exposures if self.soft < FLAT else ():
            psf = self.series.psf[i]
            light = psf.draw(*self.source_place(i, place), square)[0].ravel()
            self.root[i] = (self.soft / (np.maximum(light, 0) / psf.peak + self.soft)) ** 0.5

    def source_place(self, i: int, place: NDArray) -> NDArray[np.float64]:
        """Pixel of the source in exposure i.  `place`: (2,) or (4,); result: (2,)."""
        u = place[:2] + self.years[i] * place[2:] if len(place) > 2 else place
        return self.series.origin[i] + self.series.matrix[i] @ u

    def model(self, i: int, state: SceneState, nodes: NDArray) -> tuple[NDArray, NDArray]:
        """Light over the sky (pixel,), and its derivatives by throughput and shift (3, pixel); R = 1."""
        series = self.series
        side = series.side
        x, y = self.source_place(i, state.place)
        psf = series.psf[i].draw(x, y, (side, side)).reshape(3, -1)
        flux = state.nuisance[i, FLUX]
        light = self.design.nodes.with_slopes(state.galaxy) @ nodes if len(state.galaxy) else np.zeros((3, side**2))
        # Moving the stamp's origin by d moves the image; nodes know derivatives on the sky, hence the inverse.
        light[1:] = -self._to_sky[i].T @ light[1:]
        light += flux * psf
        return psf, light

    def linearise(self, i: int, state: SceneState, clip: float, model_error: float) -> Pixels:
        """Exposure i as the current model sees it; `state.keep` is chosen anew."""
        series = self.series
        whiten = series.variance[i] ** -0.5
        scale = whiten * series.throughput[i]
        nodes = self.design.draw(i)
        psf, light = self.model(i, state, nodes)
        sky, change, *shift = state.nuisance[i, :FLUX]
        expected = series.throughput[i] * (np.array([1 + change, *shift]) @ light)
        above = expected - border_level(expected.reshape(series.side, series.side))
        keep, start = state.keep[i], state.start[i]
        pull, variance = np.empty((2, len(keep)))
        photon = 1 / (series.gain[i] * series.variance[i])
        residual = whiten * (self._data[i] - expected - sky)
        keep_pixels(residual, start, above, photon, model_error * whiten, clip, keep, pull, variance)

        root = self.root[i]
        light_sigma = whiten * np.maximum(above, 0) / np.sqrt(variance)
        variance *= root**2
        weight = keep * root
        q = np.zeros((N_NUISANCE, len(keep) + N_NUISANCE - 1))
        pixel, prior = q[:, : len(keep)], q[:, len(keep) :]
        pixel[0] = whiten * weight
        pixel[1:FLUX] = (scale * self._free[i])[:, None] * light * weight
        prior[[1, 2, 3], [0, 1, 2]] = self._prior[i]
        if series.active[i]:
            pixel[FLUX] = scale * psf[0] * weight
        else:
            prior[FLUX, 3] = 1
        r = orthonormal(q)

        place = np.empty((0, len(keep)))
        if state.free_place:
            place = scale * state.nuisance[i, FLUX] * (series.matrix[i].T @ psf[1:]) * weight
            if len(state.place) > 2:
                place = np.concatenate([place, self.years[i] * place])
        data = np.where(keep, whiten * root * self._data[i], 0)
        return Pixels(nodes, keep, data, place, q, r, scale, root, pull, light_sigma, variance)


@dataclass(eq=False)
class NormalEquations:
    """Normal equations of every exposure, summed over pixels, its nuisance parameters eliminated (Schur complement)."""

    gram: NDArray[np.float64]
    """(node, node), lower triangle in Fortran order: sum of A^T A over what is kept."""
    cross_terms: NDArray[np.float64]
    """(exposure, N_NUISANCE, common): Q^T X."""
    data_nuisance: NDArray[np.float64]
    """(exposure, N_NUISANCE): Q^T d."""
    data_common: NDArray[np.float64]
    """(exposure, common): X^T d."""
    place: NDArray[np.float64]
    """(exposure, common, len(place)): X^T E."""
    r: NDArray[np.float64]
    """(exposure, N_NUISANCE, N_NUISANCE)."""
    noise: NDArray[np.float64]
    """(exposure,): variance of the flux from its own pixels alone."""
    in_gram: NDArray[np.bool_]
    """(exposure, pixel): what `gram` holds."""

    @classmethod
    def of(cls, n_exposure: int, n_node: int, n_place: int, n_pixel: int) -> NormalEquations:
        """Normal equations of these sizes, all zero."""
        common = n_node + n_place
        return cls(
            np.zeros((n_node, n_node), order="F"),
            np.zeros((n_exposure, N_NUISANCE, common)),
            np.zeros((n_exposure, N_NUISANCE)),
            np.zeros((n_exposure, common)),
            np.zeros((n_exposure, common, n_place)),
            np.tile(np.eye(N_NUISANCE), (n_exposure, 1, 1)),
            np.ones(n_exposure),
            np.zeros((n_exposure, n_pixel), bool),
        )

    def take(self, i: int, pixels: Pixels) -> None:
        """Replace what exposure i contributes."""
        n_pixel, n_node = len(pixels.keep), len(self.gram)
        n_place = self.place.shape[2]
        place = np.zeros((n_place, n_pixel))
        place[: len(pixels.place)] = pixels.place
        top = pixels.q[:, :n_pixel]
        right = np.concatenate([top, pixels.data[None], place]).T  # zero where not kept, so the nodes need not be
        product = np.empty((n_node + n_place, N_NUISANCE + 1 + n_place))
        if n_node:
            np.matmul(pixels.nodes, pixels.root[:, None] * right, out=product[:n_node])
            product[:n_node] *= pixels.scale
            self._update_gram(i, pixels)
        np.matmul(place, right, out=product[n_node:])
        self.cross_terms[i] = product[:, :N_NUISANCE].T
        self.data_nuisance[i] = top @ pixels.data
        self.data_common[i] = product[:, N_NUISANCE]
        self.place[i] = product[:, N_NUISANCE + 1 :]
        self.r[i] = pixels.r
        row = pixels.q[FLUX] / pixels.r[FLUX, FLUX]
        self.noise[i] = row[:n_pixel] ** 2 @ pixels.variance + row[n_pixel:] @ row[n_pixel:]

    def without(self, i: int, pixels: Pixels) -> NormalEquations:
        """The same sums, exposure i left out."""
        gram = self.gram.copy(order="F")
        columns = pixels.nodes * (self.in_gram[i] * pixels.root)
        gram = blas.dsyrk(-(pixels.scale**2), columns.T, 1.0, gram, trans=1, lower=1, overwrite_c=1)
        sums = {name: getattr(self, name).copy() for name in ("cross_terms", "data_nuisance", "data_common", "place")}
        for values in sums.values():
            values[i] = 0.0
        return replace(self, gram=gram, **sums)

    def _update_gram(self, i: int, pixels: Pixels) -> None:
        before = self.in_gram[i]
        if not before.any():
            changed = [(pixels.scale**2, pixels.nodes * (pixels.keep * pixels.root))]
        else:
            gone, back = before & ~pixels.keep, pixels.keep & ~before
            changed = [
                (sign * pixels.scale**2, pixels.nodes[:, which] * pixels.root[which])
                for sign, which in ((-1, gone), (1, back))
            ]
        for factor, columns in changed:
            if columns.shape[1]:
                blas.dsyrk(factor, columns.T, 1.0, self.gram, trans=1, lower=1, overwrite_c=1)
        self.in_gram[i] = pixels.keep
