"""A stack is quieter than its frames, by the amount statistics allow, and exactly what it says it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ztf_in2p3.detrend.stack import clipped_mean, clipped_median, kept_scatter, median_variance, stack_variance

# Few values, so that ties are common; NaN and infinity for what is missing; far ones to be clipped; squares that
# float32 cannot hold.
levels = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 0.1, 99.5, 1e3, 1e-30, 1e25])
values = st.one_of(levels, st.floats(-1e6, 1e6, width=32))
stacks = st.integers(1, 14).flatmap(lambda n: arrays(np.float32, (n, 2, 3), elements=values))
clips = st.sampled_from([1.5, 2.0, 2.5, 3.0, 5.0])


def straight(frames, clip, average=np.median):
    """One pixel after the other, as one would write it down; sums in the order of the values."""
    median, count = np.full(frames.shape[1:], np.nan, np.float32), np.zeros(frames.shape[1:], np.uint16)
    for pixel in np.ndindex(*frames.shape[1:]):
        values = frames[(slice(None), *pixel)]
        values = np.sort(values[np.isfinite(values)])
        if len(values) == 0:
            continue
        mean = sum(map(float, values)) / len(values)
        deviation = np.sqrt(sum((float(v) - mean) ** 2 for v in values) / len(values))
        kept = values[np.abs(values.astype(float) - float(np.median(values))) <= clip * deviation]
        median[pixel], count[pixel] = average(kept), len(kept)
    return median, count


def straight_mean(values):
    return np.float32(sum(map(float, values)) / len(values))


@pytest.mark.parametrize(("combine", "average"), [(clipped_median, np.median), (clipped_mean, straight_mean)])
@settings(deadline=None)  # the first call compiles
@given(frames=stacks, clip=clips)
def test_every_bit_is_that_of_the_straight_way(combine, average, frames, clip):
    for fast, slow in zip(combine(frames, clip=clip), straight(frames, clip, average), strict=True):
        np.testing.assert_array_equal(fast, slow, strict=True)


@pytest.mark.parametrize("n_frame", [4, 10, 21])
def test_every_bit_is_that_of_numpys_own_functions_on_many_pixels(n_frame):
    rng = np.random.default_rng(n_frame)
    frames = rng.normal(1000, 1.5, (n_frame, 300, 300)).astype(np.float32)
    frames[rng.random(frames.shape) < 0.01] += 500
    frames[rng.random(frames.shape) < 0.01] = np.nan
    frames[:, 50:100] = np.round(frames[:, 50:100])  # ties
    ordered = np.sort(frames, axis=0).astype(np.float64)
    distance = np.abs(ordered - np.nanmedian(frames, axis=0).astype(np.float32))
    keep = distance <= 3 * np.nanstd(ordered, axis=0)

    median, count = clipped_median(frames, clip=3)
    mean, count_of_mean = clipped_mean(frames, clip=3)

    np.testing.assert_array_equal(count, keep.sum(axis=0))
    np.testing.assert_array_equal(count_of_mean, count)
    kept = np.where(keep, ordered, np.nan)
    np.testing.assert_array_equal(median, np.nanmedian(kept, axis=0).astype(np.float32))
    np.testing.assert_array_equal(mean, np.nanmean(kept, axis=0).astype(np.float32))
    assert (count < n_frame).mean() > 0.01  # something was clipped


@settings(deadline=None)
@given(stacks, clips, st.randoms())
def test_neither_the_order_of_the_frames_nor_the_cut_of_the_rows_matters(frames, clip, random):
    order = random.sample(range(len(frames)), len(frames))
    rows = [clipped_median(frames[order, r : r + 1], clip=clip) for r in range(frames.shape[1])]
    for whole, *parts in zip(clipped_median(frames, clip=clip), *rows, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("n_frame", [1, 2, 3, 4, 5, 10, 25, 60])
def test_noise_of_a_median_is_as_computed(n_frame):
    frames = np.random.default_rng(20190405).normal(0, 10, (n_frame, 250, 200)).astype(np.float32)

    median, count = clipped_median(frames, clip=8)

    # A variance over m pixels is known to sqrt(2/m), and so to four of those; computed to 1e-3.
    np.testing.assert_allclose(median.var(), 100 * median_variance(n_frame), rtol=4 * np.sqrt(2 / median.size) + 1e-3)
    np.testing.assert_array_equal(stack_variance(count, 100.0), np.float32(100 * median_variance(n_frame)))


def test_a_mean_of_many_whole_numbers_has_no_steps_and_a_median_has():
    """Whole ADU of 1.5 ADU of noise over an offset that stays: what is left of the offset's fraction."""
    n_frame, read_noise = 200, 1.5
    levels = np.repeat(np.linspace(60, 61, 40), 250)
    frames = np.rint(np.random.default_rng(8).normal(levels, read_noise, (n_frame, levels.size)))
    frames = frames.astype(np.float32).reshape(n_frame, 40, 250)
    error = {
        combine: (combine(frames, clip=4)[0] - levels.reshape(40, 250)).mean(axis=1)
        for combine in (clipped_mean, clipped_median)
    }
    # Four sigma of a mean over 250 pixels, 1/12 for the rounding; the mean's own steps are exp(-2 pi^2 1.5^2) = 0.
    np.testing.assert_allclose(error[clipped_mean], 0, atol=4 * np.sqrt((read_noise**2 + 1 / 12) / n_frame / 250))
    # A median goes in halves: its noise, 0.13 ADU, does not hide them all.
    assert error[clipped_median].std() > 0.1


@pytest.mark.parametrize("n_frame", [1, 5, 10, 60])
def test_noise_of_a_mean_is_as_computed(n_frame):
    frames = np.random.default_rng(20190405).normal(0, 10, (n_frame, 250, 200)).astype(np.float32)
    mean, count = clipped_mean(frames, clip=8)
    # A variance over m pixels is known to sqrt(2/m), and so to four of those.
    np.testing.assert_allclose(mean.var(), 100 / n_frame, rtol=4 * np.sqrt(2 / mean.size))
    np.testing.assert_allclose(stack_variance(count, 100.0, mean=True), 100 / n_frame, rtol=1e-6)


def test_the_noise_of_many_tends_to_the_known_limit():
    for n in (101, 200, 801):  # the next term of the series is -1.1/n for odd n, -1.4/n for even
        assert median_variance(n) * n == pytest.approx(np.pi / 2, rel=2 / n)


def test_clipping_hardly_changes_the_noise_that_is_stated():
    frames = np.random.default_rng(3).normal(0, 10, (10, 300, 300)).astype(np.float32)
    median, count = clipped_median(frames, clip=3)
    # One pixel in 300 loses one of its ten frames, and with it a tenth of its weight: 2e-3 is ample.
    expected = stack_variance(count, 100.0).mean()
    np.testing.assert_allclose(median.var(), expected, rtol=4 * np.sqrt(2 / median.size) + 2e-3)


def test_a_cosmic_ray_in_one_frame_leaves_no_trace():
    frames = np.random.default_rng(1).normal(0, 10, (10, 20, 20)).astype(np.float32)
    clean, _ = clipped_median(np.delete(frames, 4, axis=0), clip=3)
    frames[4, 10, 10] = 40_000

    median, count = clipped_median(frames, clip=3)

    assert count[10, 10] == 9
    assert median[10, 10] == clean[10, 10]


def test_a_missing_frame_is_as_if_it_had_never_been():
    frames = np.random.default_rng(2).normal(0, 10, (7, 20, 20)).astype(np.float32)
    there = np.delete(frames, 3, axis=0)
    frames[3] = np.nan
    for with_it, without in zip(clipped_median(frames, clip=3), clipped_median(there, clip=3), strict=True):
        np.testing.assert_array_equal(with_it, without)


def test_a_pixel_without_data_is_said_to_have_none():
    frames = np.ones((3, 2, 2), np.float32)
    frames[:, 0, 1] = np.nan
    median, count = clipped_median(frames, clip=3)
    assert np.isnan(median[0, 1])
    assert count.tolist() == [[3, 0], [3, 3]]
    assert np.isnan(stack_variance(count, 4.0)).tolist() == [[False, True], [False, False]]


def test_scatter_of_the_kept_frames_is_the_noise_without_the_outlier():
    frames = np.random.default_rng(5).normal(500, 10, (12, 200, 200)).astype(np.float32)
    frames[7] += 20_000
    scatter, count = kept_scatter(frames, clip=3)
    np.testing.assert_array_equal(count, clipped_median(frames, clip=3)[1])
    # 11 frames, so 10 degrees of freedom a pixel; the mean of m such variances is known to sqrt(2 / 10 m).
    np.testing.assert_allclose(scatter.mean(), 100, rtol=4 * np.sqrt(2 / (10 * scatter.size)))


@pytest.mark.parametrize(("shape", "clip"), [((0, 2, 2), 3.0), ((3, 2, 2), 1.0)])
def test_nothing_to_combine_is_a_mistake(shape, clip):
    with pytest.raises(ValueError, match="at least one frame"):
        clipped_median(np.zeros(shape, np.float32), clip=clip)
