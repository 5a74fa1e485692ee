"""The fast fit and the slow obvious one are the same fit."""

from dataclasses import replace

import numpy as np
import pytest

from tests.lib.scene.dense import dense_solve, node_image
from ztf_in2p3.psf.model import Psf
from ztf_in2p3.recipes import SceneRecipe
from ztf_in2p3.scene.design import Design, Nodes
from ztf_in2p3.scene.elimination import FLUX, N_NUISANCE, ExposureModel, SceneState
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import Series
from ztf_in2p3.scene.passes import OFF_CENTRE


def small(seed: int, n: int = 6, side: int = 9) -> Series:
    """A made-up scene: a round galaxy, a source in the last exposures, noise; nothing known of it is used."""
    rng = np.random.default_rng(seed)
    origin = (side - 1) / 2 + rng.uniform(-0.5, 0.5, (n, 2))
    turn = rng.normal(0, 0.02, n)
    matrix = np.stack([np.stack([np.cos(turn), -np.sin(turn)], 1), np.stack([np.sin(turn), np.cos(turn)], 1)], 1)
    residual = np.zeros((5, 5))
    residual[2, 3], residual[1, 2] = 4e-3, -3e-3
    psf = []
    data = np.empty((n, side, side))
    active = np.arange(n) >= n // 2
    throughput = rng.uniform(0.8, 1.1, n)
    for i in range(n):
        q = rng.uniform(0.25, 0.4)
        psf.append(Psf(np.array([q, 0.01, 1.1 * q, 3.1]), residual, 1.1))
        image = 4000 * psf[i].widened(1.6).draw(origin[i, 0] - 0.8, origin[i, 1] + 0.5, (side, side))[0]
        image += 3000 * active[i] * psf[i].draw(origin[i, 0] + 0.1, origin[i, 1], (side, side))[0]
        data[i] = 300 + throughput[i] * image
    data += rng.normal(0, 7.5, data.shape)
    ones = np.ones(n)
    bad = rng.random(data.shape) < 0.02
    return Series(np.arange(n) * 3.0, data, bad, 55 * ones, 6 * ones, tuple(psf), origin, matrix, 0 * ones, throughput,
                  0.003 * ones, active)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_elimination_exposure_by_exposure_gives_the_dense_solution(seed):
    series = small(seed)
    recipe = SceneRecipe(margin=1.0, clip=1e9, rounds=40)
    fit = fit_scene(series, recipe)
    nodes = Nodes.covering(series, 1.0, 1.0)
    design = Design(series, nodes, np.arange(len(series)))
    images = [design.draw(i).copy() for i in range(len(series))]
    flux = np.nan_to_num(fit.flux)
    exposure_model = ExposureModel(series, design, recipe.soft)
    if np.abs(fit.position).max() > OFF_CENTRE:
        exposure_model.centre(fit.position)
    weight = exposure_model.root**2
    assert weight.min() < 0.15  # at the source; 1 at the edge

    dense_flux, dense_covariance, galaxy, moved = dense_solve(
        series, nodes.u, 1.0, recipe.ridge, fit.position, fit.galaxy.ravel(), flux, recipe.position_error,
        ~series.bad, images=images, weight=weight,
    )  # fmt: skip

    # The fit stops when fluxes move by less than 1 % of their error: that, and no more, may be between the two.
    error = np.sqrt(np.diag(dense_covariance))
    np.testing.assert_array_less(np.abs(fit.flux[series.active] - dense_flux), 0.01 * error)
    assert np.abs(moved).max() < 1e-3
    np.testing.assert_allclose(fit.covariance, dense_covariance, atol=1e-3 * error.max() ** 2)
    assert np.abs(fit.galaxy.ravel() - galaxy).max() < 1e-2 * np.abs(galaxy).max()


@pytest.mark.parametrize("level", [-80.0, 80.0])
def test_how_the_level_is_shared_between_galaxy_and_sky_changes_no_noise(level):
    series = small(5, side=15)
    exposure_model = ExposureModel(series, Design(series, Nodes.covering(series, 1.0, 4.0), np.arange(len(series))))
    nodes = exposure_model.design.nodes
    start = np.ones((len(series), series.side**2), bool)
    galaxy = 3000 * np.exp(-0.5 * np.sum(nodes.u**2, axis=1) / 1.5**2)
    own = np.zeros((len(series), N_NUISANCE))
    own[:, 0], own[:, FLUX] = 300, 3000 * series.active
    moved = own.copy()
    moved[:, 0] -= series.throughput * level  # a node has unit integral, and there is one a pixel
    for i in range(len(series)):
        seen, other = (
            exposure_model.linearise(i, SceneState(light, np.zeros(2), sky, start.copy(), start), 5.0, 0.02)
            for light, sky in ((galaxy, own), (galaxy + level, moved))
        )
        assert seen.variance.max() > 1.5
        # Light of nodes beyond the margin is missing, some thousandths of the level at the corners.
        np.testing.assert_allclose(other.variance, seen.variance, atol=0.01 * abs(level) / (6 * 55))
        np.testing.assert_allclose(other.pull, seen.pull, atol=0.01 * abs(level) / np.sqrt(55))


def test_a_node_is_the_psf_spread_by_a_spline_on_the_sky():
    series = small(3, n=2)
    nodes = Nodes.covering(series, 0.75, 1.0)
    drawn = Design(series, nodes, np.arange(2)).draw(1)
    for j in (0, len(nodes) // 2, len(nodes) // 3):
        slow = node_image(series, 1, nodes.u[j], 0.75, per_step=6)
        # Aliases of the table's cells, and the turn of the spline by a degree: 2e-4 of a node's peak.
        np.testing.assert_allclose(drawn[j].reshape(slow.shape), slow, atol=2e-4 * drawn.max())


def test_slopes_of_the_galaxy_are_those_of_its_image():
    series = replace(small(4, n=2), matrix=np.tile(np.eye(2), (2, 1, 1)))
    nodes = Nodes.covering(series, 1.0, 4.0)
    smooth = np.exp(-0.5 * np.sum((nodes.u - [0.5, -0.3]) ** 2, axis=1) / 1.5**2)
    along_x = nodes.with_slopes(smooth)[1] @ Design(series, nodes, np.arange(2)).draw(0)
    ahead, behind = (
        smooth @ Design(replace(series, origin=series.origin + np.array([d, 0])), nodes, np.arange(2)).draw(0)
        for d in (0.01, -0.01)
    )
    # A cubic spline through the derivatives is of fourth order: 1 % for a galaxy of 1.5 nodes.
    np.testing.assert_allclose(-along_x, (ahead - behind) / 0.02, atol=0.01 * np.abs(along_x).max())
