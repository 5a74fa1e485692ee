"""What a fit must not depend on."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ztf_in2p3.camera import TINY
from ztf_in2p3.fit import normal, sources
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe
from ztf_in2p3.simulate.measurements import Effects, dithered_sequence, star_measurements
from ztf_in2p3.starflat.model import fit_starflat, starflat_model

RECIPE = StarflatRecipe(superpixels=3, robust=RobustRecipe(method="iterative"))
MICRO = 1e-6

TABLE, _ = star_measurements(TINY, dithered_sequence(25, TINY), 800, Effects(map_cells=3, outliers=0.02), seed=8)


@pytest.fixture(scope="module")
def reference():
    return fit_starflat(TABLE, TINY, RECIPE).fit


def assert_same(fit, reference, rows):
    """Parameters within a hundredth of a millimagnitude; the very same rows rejected (`rows`: new to old)."""
    for name, family in reference.parameters.items():
        np.testing.assert_allclose(fit[name].value, family.value, atol=10 * MICRO)
        np.testing.assert_allclose(fit[name].sigma, family.sigma, rtol=1e-3)
    np.testing.assert_array_equal(np.sort(rows[fit.rejected]), reference.rejected)


few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(reference, seed):
    rows = np.random.default_rng(seed).permutation(TABLE.num_rows)
    assert_same(fit_starflat(TABLE.take(pa.array(rows)), TINY, RECIPE).fit, reference, rows)


@few
@given(seed=st.integers(0, 2**32 - 1))
def test_the_labels_of_the_stars_do_not_matter(reference, seed):
    stars, star = np.unique(TABLE["star_id"].to_numpy(), return_inverse=True)
    label = np.random.default_rng(seed).choice(10**12, len(stars), replace=False)
    relabelled = TABLE.set_column(0, "star_id", pa.array(label[star]))
    fit = fit_starflat(relabelled, TINY, RECIPE).fit
    assert_same(fit, reference, np.arange(TABLE.num_rows))
    mags = dict(zip(fit.stars.star_id, fit.stars.mag, strict=True))
    np.testing.assert_allclose([mags[one] for one in label], reference.stars.mag, atol=10 * MICRO)


@few
@given(size=st.integers(1, 5000), chunks=st.integers(1, 7))
def test_the_partitions_do_not_matter(reference, size, chunks):
    cuts = np.linspace(0, TABLE.num_rows, chunks + 1).astype(int)
    chunked = pa.concat_tables([TABLE.slice(a, b - a) for a, b in itertools.pairwise(cuts)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "ROWS", size)
        fit = fit_starflat(chunked, TINY, RECIPE).fit
    assert_same(fit, reference, np.arange(TABLE.num_rows))


@few
@given(seed=st.integers(0, 2**32 - 1))
def test_drawn_noise_follows_its_rows(seed):
    """Errors estimated from draws are the same too, because the signs belong to the measurements."""
    rows = np.random.default_rng(seed).permutation(TABLE.num_rows)
    one, other = (starflat_model(table, TINY, RECIPE)[0] for table in (TABLE, TABLE.take(pa.array(rows))))
    draws = normal.noise_right_sides(one, 5, 1)
    np.testing.assert_allclose(normal.noise_right_sides(other, 5, 1), draws, atol=1e-9 * np.abs(draws).max())


@few
@given(level=st.floats(-5, 5), slope=st.floats(-0.1, 0.1))
def test_what_the_fit_cannot_know_does_not_move_it(reference, level, slope):
    """Magnitudes that all stars share, or that follow their colour, go into the stars."""
    shifted = pc.add(TABLE["mag"], pc.add(level, pc.multiply(slope, TABLE["colour"].cast("float64"))))
    fit = fit_starflat(TABLE.set_column(TABLE.column_names.index("mag"), "mag", shifted), TINY, RECIPE).fit
    assert_same(fit, reference, np.arange(TABLE.num_rows))
