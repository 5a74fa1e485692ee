"""Which masters detrend an exposure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from lib.detrend.choice import nearest
from lib.errors import MissingProduct
from lib.identifiers import CcdExposure
from lib.periods import Period
from lib.products import Built, Kind, Value, period_of
from lib.recipes import QuadrantRecipe, digest
from lib.store import Store


@dataclass(frozen=True, slots=True)
class Calibration:
    """Masters that detrend one CCD exposure."""

    bias: Built
    flat: Built
    focal_plane: Built

    @property
    def inputs(self) -> list[Built]:
        return [self.bias, self.flat, self.focal_plane]

    def cards(self, night: date) -> dict[str, tuple[Value, str]]:
        """For the header of what they detrended."""
        return {
            "BIASFILE": (self.bias.ref.file_name, "master bias"),
            "BIASDAYS": (period_of(self.bias.ref).distance(night), "nights between it and the exposure"),
            "FLATFILE": (self.flat.ref.file_name, "master flat"),
            "FLATDAYS": (period_of(self.flat.ref).distance(night), "nights between it and the exposure"),
        }


class Calibrations:
    """The masters of a recipe that the store holds, asked for by exposure."""

    def __init__(self, store: Store, recipe: QuadrantRecipe) -> None:
        self._tolerance = recipe.tolerance_days
        self._bias = self._periods(store.list(Kind.BIAS, digest(recipe.bias)))
        self._flat = self._periods(store.list(Kind.FLAT, digest(recipe.flat)))
        self._focal_plane = self._periods(store.list(Kind.FOCAL_PLANE, digest(recipe.focal_plane)))

    @staticmethod
    def _periods(masters: Iterable[Built]) -> dict[str, dict[Period, Built]]:
        """Masters by what they are of (``c03``, ``zg/c03``, ``zg``), then by period."""
        found: dict[str, dict[Period, Built]] = defaultdict(dict)
        for master in masters:
            found[master.ref.data_id.partition("/")[2]][period_of(master.ref)] = master
        return found

    def of(self, ccd: CcdExposure) -> Calibration:
        """Nearest in time of each kind; the level of the focal plane is that of the flat's own period.

        Raises
        ------
        MissingProduct
            If one is missing within the recipe's tolerance.
        """
        c, filter = f"c{ccd.ccdid:02d}", ccd.exposure.filter
        bias = self._nearest("bias", self._bias.get(c, {}), ccd)
        flat = self._nearest("flat", self._flat.get(f"{filter}/{c}", {}), ccd)
        levels = self._focal_plane.get(str(filter), {})
        if period_of(flat.ref) not in levels:
            raise MissingProduct(f"{ccd}: {flat.ref.address} has no focal-plane level; run calibrate for its period")
        return Calibration(bias, flat, levels[period_of(flat.ref)])

    def _nearest(self, what: str, found: dict[Period, Built], ccd: CcdExposure) -> Built:
        try:
            return found[nearest(found, ccd.exposure.night, self._tolerance)]
        except MissingProduct as error:
            raise MissingProduct(f"{ccd}, {what}: {error}") from None
