"""Plots of pockets and linearity can be drawn, whatever was measured or could not be."""

from dataclasses import replace
from datetime import date

import numpy as np

from tests.lib.sensor.test_linearity_fit import flats
from tests.lib.sensor.test_pocket_fit import of_simulator, profiles_of
from ztf_in2p3.camera import ZTF
from ztf_in2p3.figures.linearity import plot_linearity
from ztf_in2p3.figures.pocket import Amplifier, plot_pocket, plot_pocket_residuals
from ztf_in2p3.figures.style import png
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import LinearityRecipe
from ztf_in2p3.sensor.linearity_fit import fit_linearity, linearity_table
from ztf_in2p3.sensor.pocket_fit import compare, fit_equilibrium


def words(figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_pockets_are_drawn_with_and_without_first_pixels_and_temperatures():
    profiles = profiles_of(of_simulator, 0, n_sky=20, n_flat=4)
    function = fit_equilibrium(profiles)
    blind = replace(profiles, first=np.full(len(profiles), np.nan), kelvin=np.zeros(len(profiles)))
    amplifiers = {
        1: Amplifier(function, compare(function, profiles), profiles.kelvin),
        2: Amplifier(function, compare(function, replace(blind, kelvin=profiles.kelvin)), blind.kelvin),
    }
    for plot in (plot_pocket, plot_pocket_residuals):
        figure = plot(amplifiers, "Pockets")
        assert png(figure).startswith(b"\x89PNG")
        assert {"quadrant 1", "quadrant 2"} <= {axes.get_title() for axes in figure.axes}
    assert words(figure).count("one temperature") == 1


def test_the_middle_row_shows_channels_apart_from_what_they_share():
    fit = fit_linearity(flats(0), ZTF, LinearityRecipe())
    figure = plot_linearity(linearity_table(fit, 3, Period.of(date(2019, 4, 5))), "Linearity")
    assert png(figure).startswith(b"\x89PNG")
    own = np.array([axes.lines[0].get_ydata() for axes in figure.axes[4:8]])
    shared = np.array([axes.lines[0].get_ydata() - axes.lines[1].get_ydata() for axes in figure.axes[:4]])
    np.testing.assert_allclose(own.sum(axis=0), 0, atol=1e-9)
    # The table is the truth: its channels are known to a few 1e-5, what they share to the lamp's 1e-3 (here in %).
    assert np.abs(own).max() < 0.1
    assert 10 * np.abs(shared).max() > 3 * np.abs(own).max()
