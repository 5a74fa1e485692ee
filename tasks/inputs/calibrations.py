"""Which masters detrend an exposure, and what pockets were measured for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from tasks.inputs.verdicts import Verdicts
from tasks.runtime.outcome import SetAside
from ztf_in2p3.detrend.choice import Candidate, choose
from ztf_in2p3.detrend.verdicts import GOOD, Ruling
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, Value, ccd_of, part_of, period_of
from ztf_in2p3.recipes import QuadrantRecipe, digest
from ztf_in2p3.sensor.pocket import EQUILIBRIUM, LAST_NIGHT_WITHOUT
from ztf_in2p3.sensor.pocket_calibration import CcdPockets
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.store.reading import opened

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A calibration, what is thought of it, and why it serves."""

    built: Built
    quality: str = GOOD
    verdict: Built | None = None
    """Product that states the quality; None if nobody judged the master."""
    unfit: Mapping[int, str] = field(default_factory=dict)
    """Why the master does not serve for a quadrant, by qid."""

    @property
    def inputs(self) -> list[Built]:
        """The master, and the product that states its quality."""
        return [self.built] if self.verdict is None else [self.built, self.verdict]

    def cards(self, what: str, name: str, night: date) -> dict[str, tuple[Value, str]]:
        """Header cards for the images that the master detrended; `what`: four letters, ``BIAS``."""
        return {
            f"{what}FILE": (self.built.ref.file_name, name),
            f"{what}DAYS": (period_of(self.built.ref).distance(night), "nights between it and the exposure"),
            f"{what}QUAL": (self.quality, f"quality of the {name}"),
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """Masters that detrend one CCD exposure."""

    bias: Chosen
    flat: Chosen
    focal_plane: Built
    bad_pixels: Built | None = None
    """Bad pixels of the flat's filter and period; None: the archive's mask alone serves."""
    fringes: Chosen | None = None
    """Fringe maps; None: fringes are left in the image."""
    pocket: Chosen | None = None
    """Measured pockets; None: there were none yet, or the recipe does not ask for them."""

    @property
    def inputs(self) -> list[Built]:
        """All products that detrending reads."""
        of_pocket = self.pocket.inputs if self.pocket else []
        return [*self.bias.inputs, *self.flat.inputs, self.focal_plane, *self.maps, *self.fringe_maps, *of_pocket]

    @property
    def unfit(self) -> dict[int, str]:
        """Why a quadrant cannot be detrended, by qid."""
        masters = (("flat", self.flat), ("bias", self.bias))
        return {qid: f"master {name}: {reason}" for name, master in masters for qid, reason in master.unfit.items()}

    @property
    def maps(self) -> list[Built]:
        """The map of bad pixels, if there is one."""
        return [] if self.bad_pixels is None else [self.bad_pixels]

    @property
    def fringe_maps(self) -> list[Built]:
        """The fringe maps, if there are any."""
        return [] if self.fringes is None else [self.fringes.built]

    def cards(self, night: date) -> dict[str, tuple[Value, str]]:
        """Header cards for the images that the masters detrended."""
        return {
            **self.bias.cards("BIAS", "master bias", night),
            **self.flat.cards("FLAT", "master flat", night),
            "BPIXFILE": (self.bad_pixels.ref.file_name if self.bad_pixels else "", "bad pixels of ours"),
            **(self.fringes.cards("FRNG", "fringe maps", night) if self.fringes else {}),
            **(self.pocket.cards("POCK", "pocket calibration", night) if self.pocket else {}),
        }


ByPeriod = dict[Period, Built]


class Calibrations:
    """The calibrations of a recipe, by exposure: those that the store holds, listed once, and those made since."""

    def __init__(self, store: Store, recipe: QuadrantRecipe, overrides: Sequence[Ruling] | None = None) -> None:
        """Take the operator's `overrides`; None: those of the operator's file."""
        self._store, self._recipe = store, recipe
        self._recipes: dict[Kind, object] = {
            Kind.BIAS: recipe.bias,
            Kind.LED_FLAT: recipe.flat.led,
            Kind.FLAT: recipe.flat,
            Kind.FOCAL_PLANE: recipe.focal_plane,
            Kind.BAD_PIXELS: recipe.bad_pixel_map,
            Kind.POCKET: recipe.pocket,
            Kind.FRINGE: recipe.fringe_maps,
        }
        self._listed: dict[Kind, dict[ProductRef, Built]] = {}
        self._parts: dict[Kind, dict[str, ByPeriod]] = {}
        judged = {Kind.BIAS: recipe.bias_verdict, Kind.FLAT: recipe.flat_verdict}
        self._verdicts = {kind: Verdicts(store, of_verdict, overrides) for kind, of_verdict in judged.items()}
        self._measures_pocket = recipe.sensor.pocket == EQUILIBRIUM

    @property
    def kinds(self) -> list[Kind]:
        """Kinds of calibrations."""
        return list(self._recipes)

    def masters(self, kind: Kind) -> list[Built]:
        """All calibrations of a kind, of any period, in the order of their addresses."""
        if kind not in self._listed:
            products = self._store.list(kind, digest(self._recipes[kind]))
            self._listed[kind] = {product.ref: product for product in products}
        return [product for _, product in sorted(self._listed[kind].items())]

    def of_period(self, kind: Kind, period: Period) -> list[Built]:
        """Calibrations of a kind and period, in the order of their addresses."""
        if kind not in self._listed:  # fewer to list than of all periods
            return self._store.list(kind, digest(self._recipes[kind]), prefix=f"{period}/")
        return [product for product in self.masters(kind) if period_of(product.ref) == period]

    def add(self, products: Iterable[Built]) -> None:
        """Take calibrations that were made since the store was asked."""
        for product in products:
            if product.ref.kind in self._listed:
                self._listed[product.ref.kind][product.ref] = product
                self._parts.pop(product.ref.kind, None)

    def verdicts(self, kind: Kind) -> Verdicts:
        """What is thought of the biases or the flats."""
        return self._verdicts[kind]

    def _by_part(self, kind: Kind) -> dict[str, ByPeriod]:
        """Calibrations by what they are of (``c03``, ``zg/c03``, ``zg``), then by period."""
        if kind not in self._parts:
            parts: dict[str, ByPeriod] = defaultdict(dict)
            for master in self.masters(kind):
                parts[part_of(master.ref)][period_of(master.ref)] = master
            self._parts[kind] = dict(parts)
        return self._parts[kind]

    def of(self, ccd: CcdExposure) -> Calibration:
        """The best master of each kind; focal-plane level and bad pixels are those of the flat's own period.

        Raises
        ------
        MissingProduct
            There is none, or none good enough, within the recipe's tolerance.
        """
        c, filter = _part(ccd), ccd.exposure.filter
        bias = self.bias(ccd)
        flat = self._chosen("flat", self._by_part(Kind.FLAT).get(f"{filter}/{c}", {}), ccd, self.verdicts(Kind.FLAT))
        period, levels = period_of(flat.built.ref), self._by_part(Kind.FOCAL_PLANE).get(str(filter), {})
        if period not in levels:
            raise MissingProduct(
                f"{ccd}: {flat.built.ref.address} has no focal-plane level; run calibrate for its period"
            )
        maps = self._by_part(Kind.BAD_PIXELS) if self._recipe.mask_bad_pixels else {}
        bad_pixels = maps.get(f"{filter}/{c}", {}).get(period)
        return Calibration(bias, flat, levels[period], bad_pixels, self._fringes_of(ccd), self.pocket(ccd))

    def bias(self, ccd: CcdExposure) -> Chosen:
        """The best master bias of a CCD exposure, chosen as by `of`."""
        return self._chosen("bias", self._by_part(Kind.BIAS).get(_part(ccd), {}), ccd, self.verdicts(Kind.BIAS))

    def pocket(self, ccd: CcdExposure) -> Chosen | None:
        """The best measured pockets of a CCD exposure; None if it was before there were any, or needs none."""
        if not self._measures_pocket or ccd.exposure.night <= LAST_NIGHT_WITHOUT:
            return None
        try:
            return self._chosen("pocket", self._by_part(Kind.POCKET).get(_part(ccd), {}), ccd)
        except MissingProduct as error:
            raise MissingProduct(f"{error}; pockets are measured by the flow pocket") from None

    def _fringes_of(self, ccd: CcdExposure) -> Chosen | None:
        """Fringe maps of a CCD exposure; None for all filters but zi."""
        filter = ccd.exposure.filter
        if not (self._recipe.fringes and filter is Filter.ZI):
            return None
        return self._chosen("fringe maps", self._by_part(Kind.FRINGE).get(f"{filter}/{_part(ccd)}", {}), ccd)

    def _chosen(self, what: str, masters: ByPeriod, ccd: CcdExposure, verdicts: Verdicts | None = None) -> Chosen:
        """The best of some masters by the recipe's rule; calibrations of a kind that nobody judges are good."""
        candidates = [
            Candidate(period, *(verdicts.quality(built) if verdicts else ())) for period, built in masters.items()
        ]
        try:
            best = choose(
                candidates,
                ccd.exposure.night,
                tolerance_days=self._recipe.tolerance_days,
                rule=self._recipe.choice,
                suspects=self._recipe.suspects,
            )
        except MissingProduct as error:
            raise MissingProduct(f"{ccd}, {what}: {error}") from None
        built = masters[best.period]
        if verdicts is None:
            return Chosen(built, best.quality)
        unfit = {} if self._recipe.suspects else verdicts.unfit(built)
        return Chosen(built, best.quality, verdicts.of(built), unfit)


_shared: ContextVar[dict[tuple[str, str], Calibrations] | None] = ContextVar("shared", default=None)


@contextmanager
def shared_calibrations() -> Iterator[None]:
    """Let the flows that run within pass their calibrations on, instead of listing what the one before has made."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def calibrations_of(store: Store, recipe: QuadrantRecipe) -> Calibrations:
    """The calibrations of a recipe in a store: those at hand, within `shared_calibrations`."""
    shared = _shared.get()
    if shared is None:
        return Calibrations(store, recipe)
    key = store.files.uri(""), digest(recipe)
    if key not in shared:
        shared[key] = Calibrations(store, recipe)
    return shared[key]


def pockets_for(
    frames: Mapping[Key, Sequence[Built]], calibrations: Calibrations
) -> tuple[dict[Key, Chosen | None], list[SetAside]]:
    """Measured pockets for groups of raw frames of one CCD each, chosen for the one in the middle; what has none."""
    chosen: dict[Key, Chosen | None] = {}
    aside = []
    for key, raws in frames.items():
        ccd = ccd_of(raws[len(raws) // 2].ref)
        try:
            chosen[key] = calibrations.pocket(ccd)
        except MissingProduct as error:
            aside.append(SetAside.because(f"{len(raws)} frames about {ccd}", error))
    return chosen, aside


def _part(ccd: CcdExposure) -> str:
    return f"c{ccd.ccdid:02d}"


def read_pockets(store: Store, chosen: Chosen | None) -> CcdPockets | None:
    """Pockets as measured, if any were chosen."""
    if chosen is None:
        return None
    with opened(store, [chosen.built]) as (path,):
        return CcdPockets.of(read_table(path))
