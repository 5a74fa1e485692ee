"""From raw frames to master calibrations and detrended quadrants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SensorRecipe:
    """From raw ADU to linear ADU over the electronic offset."""

    overscan_columns: int = 5
    """Last columns read, the only ones nearly free of deferred charge."""
    overscan_degree: int = 3
    """Of the polynomial through the offset of the rows (3: four coefficients)."""
    overscan_clip: float = 3.0
    """Rows further than this many median absolute deviations from the fit are left out."""
    linearise: bool = True
    pocket: str = "powerlaw"
    """Model of the pocket at the end of the serial register, for nights after 2019-10-22: "powerlaw",
    "equilibrium" (measured, needs a calibration) or "none"."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class BiasRecipe:
    sensor: SensorRecipe = SensorRecipe()
    last_of_night: int = 10
    """Frames used of each night, the last ones: the camera has settled by then.  0: all."""
    clip: float = 3.0
    """Rejection threshold, in standard deviations of a pixel over the frames."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class LedFlatRecipe:
    """One LED's flat of a CCD, divided by its median."""

    bias: BiasRecipe = BiasRecipe()
    clip: float = 3.0
    """As for the bias."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class FlatRecipe:
    """Mean over the LEDs of a filter."""

    led: LedFlatRecipe = LedFlatRecipe()
    weights: tuple[tuple[int, float], ...] = ()
    """(LED, weight) pairs; LEDs not named weigh 1."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class FocalPlaneRecipe:
    """Level of the flats over the whole focal plane."""

    flat: FlatRecipe = FlatRecipe()
    version: int = 1


@dataclass(frozen=True, slots=True)
class QuadrantRecipe:
    """Detrended quadrant; bias and flat are made with one another's sensor corrections."""

    focal_plane: FocalPlaneRecipe = FocalPlaneRecipe()
    tolerance_days: int = 10
    """Furthest calibration in time that is accepted."""
    version: int = 1

    @property
    def flat(self) -> FlatRecipe:
        return self.focal_plane.flat

    @property
    def bias(self) -> BiasRecipe:
        return self.flat.led.bias

    @property
    def sensor(self) -> SensorRecipe:
        return self.bias.sensor
