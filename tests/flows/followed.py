"""A simulated supernova that the flow `scene` followed, and ways to look at its light curve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flows.scene import scene
from tasks.runtime.outcome import Outcome
from tests.flows.night import opened
from ztf_in2p3.products import Built, Kind
from ztf_in2p3.recipes import GaiaColours, LightCurveRecipe, PsfCatalogueRecipe, PsfRecipe, QuadrantRecipe
from ztf_in2p3.simulate.exposures import NightPlan
from ztf_in2p3.simulate.host import Supernova
from ztf_in2p3.store.parquet import read_table

N_QUIET, N_ACTIVE = 4, 6
RECIPE = LightCurveRecipe(
    # The masters of one night serve all; small stamps of 30 stars; the simulated stars' own colours (simulate.sky).
    PsfCatalogueRecipe(QuadrantRecipe(tolerance_days=200), psf=PsfRecipe(margin=2), side=15, max_stars=30),
    gaia=GaiaColours(zr=(0.05, -0.10)),
)
HOW: dict[str, Any] = {"camera": "tiny", "workers": 0}


@dataclass(frozen=True)
class Followed:
    tree: Path
    store: Path
    folder: Path
    """For files of targets."""
    plans: list[NightPlan]
    one: Supernova

    def write_targets(self, folder: Path, **changed: object) -> str:
        """A file like the one of the fixture, with other values."""
        values: dict[str, object] = {
            "name": '"sn"', "ra": self.one.ra + 0.15 / 3600, "dec": self.one.dec - 0.2 / 3600, "bands": '["zr"]',
            "shines": f"[{self.plans[N_QUIET].night - (self.plans[1].night - self.plans[0].night) / 2}, 2019-12-31]",
        } | changed  # fmt: skip
        path = folder / "targets.toml"
        path.write_text(_table(values))
        return str(path)

    def write_two_targets(self, **changed: object) -> str:
        """The same, and with it a faint star of the field, taken for a transient."""
        ra, dec, mag = self.one.plot()
        inside = np.hypot((ra - self.one.ra) * np.cos(np.deg2rad(dec)), dec - self.one.dec) < 70 / 3600
        faint = np.flatnonzero(inside)[np.argmax(mag[inside])]
        star = {"name": '"star"', "ra": ra[faint], "dec": dec[faint]}
        path = Path(self.write_targets(self.folder, **changed))
        first = path.read_text()
        self.write_targets(self.folder, **changed, **star)
        path.write_text(first + path.read_text())
        return str(path)

    def run(self, targets: str, recipe: LightCurveRecipe = RECIPE, **how: Any) -> Any:
        return scene(str(how.pop("store", self.store)), targets, recipe=recipe, **HOW, **how)

    def truth(self, table: pa.Table) -> np.ndarray:
        return np.array([10 ** (-0.4 * (self.one.magnitude(mjd) - 30)) for mjd in table["mjd"].to_pylist()])


def _table(values: dict[str, object]) -> str:
    return "[[target]]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def curve_of(outcome: Outcome, store: Path, target: str = "sn") -> pa.Table:
    (built,) = (one for one in outcome.of(Kind.LIGHT_CURVE) if one.ref.data_id.startswith(f"target_{target}/"))
    return table_of(built, store)


def table_of(built: Built, store: Path) -> pa.Table:
    with opened(store).open(built) as path:
        return read_table(path)


def fluxes(table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, covariance, and which rows they are of."""
    some = np.flatnonzero(table["flux"].is_valid().to_numpy())
    covariance = np.array([table["covariance"][int(i)].as_py() for i in some])
    return table["flux"].to_numpy()[some], covariance, some
