"""Response map of the focal plane from dithered exposures of one field.

m_ADU = m_star + dZP(u, v) + ZP(exposure) + dk(u, v) C + k (X - 1), C the colour over the sample's mean
and X the airmass at the star: the stars, seen again and again elsewhere on the camera, are the lamp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from lib.camera import Camera
from lib.errors import BadData
from lib.fit.gauge import Removed
from lib.fit.model import Coarse, Family, Floats, Model
from lib.fit.results import Fit, Intake
from lib.fit.robust import RobustRecipe, fit
from lib.fit.solver import Progress
from lib.fit.superpixels import Superpixels, on_camera, pixels
from lib.fit.table import Anchors, Columns, build_model


@dataclass(frozen=True, slots=True)
class StarflatRecipe:
    model: Literal["simple", "zp", "color", "full"] = "full"
    """Star and map; with zero points of the exposures; with colour map; with airmass."""
    superpixels: int = 15
    """Cells of the map, along each side of a quadrant."""
    colour_cells: int = 2
    """The same of the colour map."""
    gain: bool = False
    """A gain for each quadrant and night."""
    error_floor: float = 0.005
    """Magnitudes, in quadrature."""
    plane: Literal["auto", "remove", "keep"] = "auto"
    """A plane over the focal plane can hardly be told from zero points that follow the pointing.  "auto":
    removed unless star magnitudes or photometric nights are known."""
    photometric_sigma: float | None = None
    """Scatter of zero points within a photometric night, magnitudes; None: they are free."""
    airmass_prior: tuple[float, float] | None = None
    """Mean and standard deviation of k, mag per airmass; None: free."""
    robust: RobustRecipe = RobustRecipe()
    version: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Starflat:
    """A fitted response of the focal plane."""

    fit: Fit
    recipe: StarflatRecipe
    camera: Camera
    colour_centre: float
    """Mean colour of the sample, to which the map applies; magnitudes."""

    @property
    def map(self) -> Floats:
        """(rcid, row of cells, column of cells), magnitudes; NaN where no star was."""
        return self.fit["map"].value.reshape(Superpixels(self.camera, self.recipe.superpixels).shape)

    @property
    def map_sigma(self) -> Floats:
        return self.fit["map"].sigma.reshape(Superpixels(self.camera, self.recipe.superpixels).shape)

    @property
    def colour_map(self) -> Floats | None:
        """(rcid, row of cells, column of cells), mag per mag."""
        if "colour_map" not in self.fit.parameters:
            return None
        return self.fit["colour_map"].value.reshape(Superpixels(self.camera, self.recipe.colour_cells).shape)

    def correction(self, rcid: ArrayLike, x: ArrayLike, y: ArrayLike, colour: ArrayLike | None = None) -> NDArray:
        """Magnitudes to subtract from measured ones at pixels of a quadrant; NaN where no star was."""
        out = self.map.ravel()[Superpixels(self.camera, self.recipe.superpixels).index(rcid, x, y)]
        if colour is None or self.colour_map is None:
            return out
        term = self.colour_map.ravel()[Superpixels(self.camera, self.recipe.colour_cells).index(rcid, x, y)]
        return out + term * (np.asarray(colour, float) - self.colour_centre)


def fit_starflat(
    table: pa.Table, camera: Camera, recipe: StarflatRecipe = StarflatRecipe(), *, anchors: Anchors | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Starflat:  # fmt: skip
    """Fit the response map to measurements of one sequence and filter.

    Parameters
    ----------
    table
        star_id, exposure, mjd, rcid, x, y (or u, v; pixels), airmass, colour, mag, mag_e (magnitudes), as far as
        the model needs them.

    Raises `BadData` where a column is missing or nothing can be used.
    """
    model, intake, colour_centre = starflat_model(table, camera, recipe, anchors=anchors)
    planes = _planes(camera, recipe) if _plane_removed(recipe, anchors) else []
    return Starflat(
        fit(model, recipe.robust, removed=planes, progress=progress, intake=intake), recipe, camera, colour_centre
    )


def starflat_model(
    table: pa.Table, camera: Camera, recipe: StarflatRecipe, *, anchors: Anchors | None = None
) -> tuple[Model, Intake, float]:
    """The model of a table, what became of its rows, and the mean colour."""
    if recipe.model not in MODELS:
        raise ValueError(f"no starflat model {recipe.model!r}; known: {', '.join(MODELS)}")
    terms = MODELS[recipe.model]
    needed = [name for name, wanted in COLUMNS.items() if wanted & _asked(recipe, terms)]
    if missing := [name for name in needed if name not in table.column_names]:
        raise BadData(f"starflat model {recipe.model} needs the column {', '.join(missing)}")
    if "x" not in table.column_names and {"u", "v", "rcid"} <= set(table.column_names):
        x, y = pixels(camera, {name: table[name].to_numpy() for name in ("rcid", "u", "v")})
        table = table.append_column("x", pa.array(x)).append_column("y", pa.array(y))
    cells, colour_cells = Superpixels(camera, recipe.superpixels), Superpixels(camera, recipe.colour_cells)
    exposures = labels_in(table, "exposure")
    nights = nights_in(table) if "mjd" in needed else np.zeros(1)
    centre = mean_of(table, "colour") if "colour" in terms else 0.0

    families: list[Family] = []
    n_quadrant = len(camera.quadrants)
    if recipe.photometric_sigma is not None and "zp" in terms:
        families.append(Family("night", nights, coarse=Coarse.identity(len(nights)), watched=True))
    if "zp" in terms:
        prior = None if recipe.photometric_sigma is None else np.full(len(exposures), recipe.photometric_sigma)
        coarse = Coarse.identity(len(exposures))
        families.append(Family("zero_point", exposures, prior_sigma=prior, coarse=coarse, watched=True))
    families.append(Family("map", np.arange(cells.size), coarse=cells.coarse()))
    if recipe.gain:
        pairs = np.stack(np.divmod(np.arange(len(nights) * n_quadrant), n_quadrant), axis=1)
        labels = np.column_stack([nights[pairs[:, 0]].astype(np.int64), pairs[:, 1]])
        families.append(Family("gain", labels, coarse=Coarse.identity(len(labels))))
    if "colour" in terms:
        labels, coarse = np.arange(colour_cells.size), colour_cells.coarse()
        families.append(Family("colour_map", labels, valued=True, coarse=coarse, unit="mag / mag"))
    if "airmass" in terms:
        families.append(airmass_family(nights, recipe.airmass_prior))

    def design(rows: Columns) -> tuple[list[NDArray], list[NDArray]]:
        night = night_of(rows, nights) if "mjd" in needed else None
        of = {
            "night": lambda: (night, None),
            "zero_point": lambda: (np.searchsorted(exposures, rows["exposure"]), None),
            "map": lambda: (cells.index(rows["rcid"], rows["x"], rows["y"]), None),
            "gain": lambda: (night * n_quadrant + rows["rcid"].astype(np.int64), None),
            "colour_map": lambda: (
                colour_cells.index(rows["rcid"], rows["x"], rows["y"]), rows["colour"].astype(float) - centre
            ),
            "airmass": lambda: (night, rows["airmass"].astype(float) - 1),
        }  # fmt: skip
        columns = [of[family.name]() for family in families]
        return [index for index, _ in columns], [value for _, value in columns if value is not None]

    model, intake = build_model(
        table, families, design, columns=needed, error_floor=recipe.error_floor,
        valid=lambda rows: on_camera(camera, rows), anchors=anchors,
    )  # fmt: skip
    return model, intake, centre


MODELS = {
    "simple": {"map"},
    "zp": {"map", "zp"},
    "color": {"map", "zp", "colour"},
    "full": {"map", "zp", "colour", "airmass"},
}

COLUMNS = {"colour": {"colour"}, "airmass": {"airmass"}, "mjd": {"airmass", "gain", "night"}}
"""Columns that only some terms need."""


def _asked(recipe: StarflatRecipe, terms: set[str]) -> set[str]:
    extra = {"gain"} if recipe.gain else set()
    return terms | extra | ({"night"} if recipe.photometric_sigma is not None else set())


def _plane_removed(recipe: StarflatRecipe, anchors: Anchors | None) -> bool:
    if recipe.plane != "auto":
        return recipe.plane == "remove"
    return recipe.model != "simple" and anchors is None and recipe.photometric_sigma is None


def _planes(camera: Camera, recipe: StarflatRecipe) -> list[Removed]:
    """Amplitude: magnitudes from the centre of the focal plane to its edge."""
    u, v = Superpixels(camera, recipe.superpixels).centres()
    return [
        Removed("plane over the focal plane, to the east", "map", u / u.max()),
        Removed("plane over the focal plane, to the north", "map", v / v.max()),
    ]


def labels_in(table: pa.Table, column: str) -> NDArray:
    """What occurs in a column, sorted."""
    return np.sort(_unique(table, column))


def _unique(table: pa.Table, column: str) -> NDArray:
    return np.asarray(table[column].unique().drop_null().to_numpy())


def nights_in(table: pa.Table) -> Floats:
    """Modified Julian dates: a night at Palomar never crosses midnight UT."""
    mjd = _unique(table, "mjd").astype(float)
    return np.unique(np.floor(mjd[np.isfinite(mjd)]))


def night_of(rows: Columns, nights: Floats) -> NDArray[np.int64]:
    return np.searchsorted(nights, np.floor(rows["mjd"]))


def mean_of(table: pa.Table, column: str) -> float:
    """Of the finite values."""
    values = table[column].to_numpy()
    good = np.isfinite(values)
    return float(np.mean(values, where=good, dtype=float)) if good.any() else 0.0


def airmass_family(nights: Floats, prior: tuple[float, float] | None) -> Family:
    family = Family("airmass", nights, valued=True, constant_in_star=False, coarse=Coarse.identity(len(nights)),
                    unit="mag / airmass")  # fmt: skip
    if prior is None:
        return family
    return replace(family, prior_mean=np.full(len(nights), prior[0]), prior_sigma=np.full(len(nights), prior[1]))
