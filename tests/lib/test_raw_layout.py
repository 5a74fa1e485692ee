"""Which HDU is of which quadrant is read, or refused; it is never guessed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from astropy.io import fits

from ztf_in2p3.errors import BadData
from ztf_in2p3.raw_layout import RawLayout

QUADRANT, OVERSCAN = (256, 240), (256, 30)


@dataclass(frozen=True)
class Image:
    """An HDU as the layout sees it."""

    header: fits.Header
    shape: tuple[int, ...]


def raw_file(order: tuple[int, ...], *, without: tuple[int, ...] = ()) -> list[Image]:
    """HDUs 1 to 8 of a raw file in another order; those of `without` have no AMP_ID."""
    images = [Image(fits.Header(), ())]
    for number in order:
        amplifier = {} if number in without else {"AMP_ID": (number - 1) % 4}
        images.append(Image(fits.Header(amplifier), QUADRANT if number <= 4 else OVERSCAN))
    return images


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5, 6, 7, 8), (3, 1, 2, 4, 5, 8, 6, 7), (8, 1, 7, 2, 6, 3, 5, 4)])
def test_amplifiers_that_name_themselves_may_stand_in_any_order(order):
    layout = RawLayout.of(raw_file(order), "frame")
    assert [order[index - 1] for index in (*layout.quadrants, *layout.overscans)] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("without", [(5, 6, 7, 8), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_nameless_amplifiers_are_taken_in_the_usual_order(without):
    layout = RawLayout.of(raw_file((1, 2, 3, 4, 5, 6, 7, 8), without=without), "frame")
    assert (layout.quadrants, layout.overscans) == ((1, 2, 3, 4), (5, 6, 7, 8))


@pytest.mark.parametrize(
    "order", [(2, 1, 3, 4, 5, 6, 7, 8), (8, 1, 2, 3, 4, 5, 6, 7), (1, 5, 2, 6, 3, 7, 4, 8), (5, 6, 7, 8, 1, 2, 3, 4)]
)
def test_nameless_overscans_in_another_order_are_refused(order):
    with pytest.raises(BadData, match=r"frame: its HDUs are not in the usual order, and HDU \d does not say"):
        RawLayout.of(raw_file(order, without=(5, 6, 7, 8)), "frame")


def test_two_amplifiers_of_one_name_are_refused():
    twice = raw_file((1, 2, 2, 4, 5, 6, 7, 8))
    with pytest.raises(BadData, match="frame: contradictory amplifiers"):
        RawLayout.of(twice, "frame")
