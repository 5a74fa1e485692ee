"""Numbers of the detector's page: what they are where all is well, and that they notice what is not."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.figures.detector import (
    BiasLevel,
    by_quadrant,
    detector_checks,
    plot_bias_noise,
    plot_first_columns,
    plot_history,
    plot_overscan,
    plot_variance,
)
from ztf_in2p3.figures.detector_numbers import DETECTOR, block_scatter, pixel_noise
from ztf_in2p3.figures.style import png
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.periods import Period
from ztf_in2p3.tables import schema_of

QUADRANTS, EXPOSURES = range(8), 3
NOISE = {"overscan_noise": 0.05, "first_columns_error": 0.1, "first_overscan_error": 0.1, "pixel_noise_error": 0.001}


def numbers(**wrong: float) -> pa.Table:
    """Of eight quadrants without fault, in three exposures; one number of the last quadrant may be wrong."""
    draw, rows = np.random.default_rng(1), []
    for exposure in range(EXPOSURES):
        for rcid in QUADRANTS:
            found = {
                "overscan_rms": 0.05 * abs(1 + 0.1 * draw.normal()), "drift": 5.0, "sky": 300.0,
                "first_columns": 0.1 * draw.normal(), "first_overscan": 0.1 * draw.normal(),
                "pixel_noise": 1 + 0.001 * draw.normal(),
            }  # fmt: skip
            who = {"exposure": exposure, "ccd": rcid // 4 + 1, "qid": rcid % 4 + 1, "rcid": rcid, "pocket": True}
            rows.append(who | NOISE | found | (wrong if rcid == QUADRANTS[-1] else {}))
    return pa.Table.from_pylist(rows, schema=schema_of(DETECTOR))


def checks(table: pa.Table, *, suspects: int = 0, bad_share: float = 1e-3):
    return detector_checks(table, suspects=suspects, masters=5, bad_share=bad_share, fringes=None)


def test_a_detector_without_fault_passes():
    assert {check.ok for check in checks(numbers())} == {None, True}


@pytest.mark.parametrize("wrong", [{"first_columns": -1.0}, {"first_overscan": 0.9}, {"pixel_noise": 1.1}])
def test_one_quadrant_that_is_wrong_is_named(wrong):
    failed = [check for check in checks(numbers(**wrong)) if check.ok is False]
    assert len(failed) == 1
    assert "rcid 7" in failed[0].value


def test_a_drift_that_stays_bad_pixels_and_suspects_fail():
    table = numbers()
    drifting = table.set_column(
        table.column_names.index("overscan_rms"), "overscan_rms", pa.array(np.full(table.num_rows, 0.2))
    )
    assert [check.name for check in checks(drifting) if check.ok is False] == ["Overscan residual"]
    assert [check.name for check in checks(table, suspects=1) if check.ok is False] == ["Suspect masters"]
    assert [check.name for check in checks(table, bad_share=0.3) if check.ok is False] == ["Bad pixels, worst CCD"]


def test_the_noise_of_pixels_is_one_whatever_the_sky_and_the_stars():
    draw, shape = np.random.default_rng(2), (200, 304)
    variance = draw.uniform(20, 100, shape).astype(np.float32)
    data = (np.linspace(100, 900, shape[1]) + np.sqrt(variance) * draw.standard_normal(shape)).astype(np.float32)
    data[::40, ::30] += 5000
    mask = np.zeros(shape, np.uint16)
    data[:, 7], mask[:, 7] = 0, MaskBit.DEAD
    found = pixel_noise(Image(data, variance, mask))
    # Stars on 1 in 1200 pixels widen the middle half by a part in a thousand.
    assert found["pixel_noise"] == pytest.approx(1, abs=4 * found["pixel_noise_error"] + 2e-3)
    halved = pixel_noise(Image(data, variance / 2, mask))
    assert halved["pixel_noise"] == pytest.approx(np.sqrt(2), abs=6 * found["pixel_noise_error"] + 3e-3)


def test_errors_of_the_noise_are_what_repetition_shows():
    draw, shape = np.random.default_rng(3), (64, 64)
    found = [
        pixel_noise(Image(draw.standard_normal(shape).astype(np.float32), np.ones(shape, np.float32), empty))
        for _ in range(300)
        for empty in [np.zeros(shape, np.uint16)]
    ]
    scatter = np.std([one["pixel_noise"] for one in found])
    # A scatter of 300 is known to 1 / sqrt(600); the error told is rounded up by less than a tenth.
    assert scatter == pytest.approx(found[0]["pixel_noise_error"], rel=4 / np.sqrt(600) + 0.1)


def test_blocks_of_rows_scatter_by_their_noise_and_more_if_there_is_a_drift():
    draw, noise = np.random.default_rng(4), 1.5
    quiet = [block_scatter(noise * draw.standard_normal((256, 5))) for _ in range(400)]
    expected = noise * np.sqrt(16 / (5 * 256))
    # The mean square of 400 variances of 16 blocks is known to sqrt(2 / (15 x 400)).
    assert np.mean(np.square(quiet)) == pytest.approx(expected**2, rel=4 * np.sqrt(2 / 6000))
    drifting = block_scatter(np.linspace(-3, 3, 256)[:, None] + noise * draw.standard_normal((256, 5)))
    assert drifting == pytest.approx(np.std(np.linspace(-3, 3, 256)), rel=0.2)


def test_a_quadrants_number_is_the_median_of_its_exposures():
    table = numbers()
    seen = [row["first_columns"] for row in table.to_pylist() if row["rcid"] == 3]
    assert by_quadrant(table, "first_columns")[3] == np.median(seen)


@pytest.mark.parametrize("draw", [plot_overscan, plot_first_columns, plot_variance])
def test_pictures_are_drawn_of_any_quadrants(draw):
    assert png(draw(TINY, numbers())).startswith(b"\x89PNG")


def test_the_history_shows_every_period():
    periods = [Period(date(2019, 4, day), date(2019, 4, day)) for day in (1, 8, 15)]
    levels = [BiasLevel(period, rcid, 60.0 + rcid, 1.5) for period in periods for rcid in QUADRANTS]
    noise = png(plot_bias_noise(TINY, levels, periods[0]))
    assert noise != png(plot_history(levels))
    assert noise == png(plot_bias_noise(TINY, levels[:8], periods[0]))
