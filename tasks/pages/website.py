"""Static pages of a store, for a folder: what is new is read, what is known from the last time is not."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.runtime.policies import query_task
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ccdid_of, exposure_of, filter_of, period_of
from ztf_in2p3.site import facts, pages
from ztf_in2p3.site.facts import NightFacts
from ztf_in2p3.site.pages import SitePicture, SiteSection
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import read_table

ASSETS = (*pages.VENDORED, "site.css", "sort.js", "trends.js")
KNOWN = "data/nights.json"
"""File of a site with the facts of its nights, by night."""
OF_SURVEY = {
    "starflats": (Kind.STARFLAT,),
    "ubercals": (Kind.ZERO_POINTS,),
    "curves": (Kind.LIGHT_CURVE, Kind.CURVE_OBJECTS),
}
"""Pages of fits, and the kinds whose numbers stand on them."""
_OF_NIGHT = (Kind.RAW, Kind.CATALOGUE, Kind.SUMMARY, Kind.REPORT, Kind.FOCAL_PLANE, Kind.BAD_PIXELS, Kind.BIAS)


@dataclass(frozen=True, slots=True)
class SiteCount:
    """What a site shows."""

    nights: int
    renewed: int
    """Nights that were read again, as their products had changed or were new."""
    pictures: int
    index: Path


def make_site(store: Store, folder: Path) -> SiteCount:
    """Write the pages of a store into a folder, made if need be; nights whose products are as before are not read."""
    (folder / "night").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for name in ASSETS:
        (folder / name).write_bytes(pages.asset(name))
    before, nights, renewed = _known(folder / KNOWN), [], 0
    for night, products in sorted(_by_night(store).items()):
        key = hashlib.sha256("\n".join(sorted(built.sha256 for built in products)).encode()).hexdigest()
        known = before.get(night)
        if known is None or known.key != key:
            known = _read_night(night, key, products, store)
            _write_night(known, products, store, folder / "night")
            renewed += 1
        nights.append(known)
    (folder / KNOWN).write_text(json.dumps([night.to_json() for night in nights]) + "\n")
    sections = {page: _sections(store, kinds, folder) for page, kinds in OF_SURVEY.items()}
    titles = {"starflats": "Star flats", "ubercals": "Ubercals", "curves": "Light curves"}
    for page, parts in sections.items():
        (folder / f"{page}.html").write_text(pages.sections_page(titles[page], parts))
    (folder / "trends.html").write_text(pages.trends_page())
    (folder / "data" / "trends.js").write_text(pages.trends_data(nights))
    count = {page: len(parts) for page, parts in sections.items()}
    (folder / "index.html").write_text(pages.index_page(store.files.uri(""), nights, count))
    pictures = sum(len(section.pictures) for parts in sections.values() for section in parts)
    return SiteCount(len(nights), renewed, pictures, folder / "index.html")


@query_task
def show_site(store: Store, folder: str) -> None:
    """Write the pages of a store, and log which file to open."""
    count = make_site(store, Path(folder).absolute())
    get_run_logger().info("open this: %s", count.index.as_uri())


def _known(path: Path) -> dict[str, NightFacts]:
    """Facts of the last time; none if there was none, or they were of another form."""
    try:
        return {night["night"]: NightFacts.from_json(night) for night in json.loads(path.read_text())}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return {}


def _by_night(store: Store) -> dict[str, list[Built]]:
    """Products of each night; calibrations of a longer period count for its last night."""
    nights: dict[str, list[Built]] = {}
    for kind in _OF_NIGHT:
        for built in store.list(kind):
            nights.setdefault(f"{_night(built):%Y%m%d}", []).append(built)
    return nights


def _night(built: Built) -> date:
    if built.ref.kind in (Kind.RAW, Kind.CATALOGUE):
        return exposure_of(built.ref).night
    return _period(built).last


def _period(built: Built) -> Period:
    first = built.ref.data_id.partition("/")[0]
    return Period.parse(first) if "_" in first else Period.of(date.fromisoformat(first))


def _of_kind(products: Iterable[Built], kind: Kind) -> list[Built]:
    return [built for built in products if built.ref.kind is kind]


def _night_report(night: str, products: Iterable[Built]) -> Built | None:
    """The report of the night itself, not that of the detector over a period."""
    return next((built for built in _of_kind(products, Kind.REPORT) if built.ref.data_id == night), None)


def _read_night(night: str, key: str, products: Sequence[Built], store: Store) -> NightFacts:
    about: Mapping[str, object] = report.about if (report := _night_report(night, products)) else {}
    catalogues = _of_kind(products, Kind.CATALOGUE)
    return NightFacts(
        night,
        key,
        str(about.get("verdict", facts.NO_REPORT)),
        str(about.get("verdict_text", "")),
        facts.exposure_rows(_of_kind(products, Kind.RAW), catalogues),
        facts.merged([facts.medians_by_ccd(catalogues), *_summaries(products, store), *_masters(products, store)]),
    )


def _summaries(products: Iterable[Built], store: Store) -> Iterable[dict[str, dict[str, dict[str, float]]]]:
    """Trends of the tables of a night: of its quadrants, and of its detector."""
    for built in _of_kind(products, Kind.SUMMARY):
        wanted = {"quadrants": facts.EXPOSURE_TRENDS}.get(built.ref.data_id.rpartition("/")[2])
        if built.ref.file_name.endswith("_detector.parquet"):
            wanted = facts.DETECTOR_TRENDS
        if wanted is not None:
            with store.open(built) as path:
                yield facts.medians_by_quadrant(read_table(path), wanted)


def _masters(products: Iterable[Built], store: Store) -> Iterable[dict[str, dict[str, dict[str, float]]]]:
    """Trends of the masters of a period that ended in the night."""
    for built in _of_kind(products, Kind.BIAS):
        excess = {
            str(4 * (ccdid_of(built.ref) - 1) + qid - 1): float(value)
            for qid in range(1, 5)
            if (value := built.about.get(f"excess{qid}")) is not None
        }
        yield {"excess noise of the bias": {"": excess}}
    for built in _of_kind(products, Kind.BAD_PIXELS):
        share = built.about.get("share")
        if share is not None:
            yield {"bad pixels": {str(filter_of(built.ref)): facts.of_ccd(ccdid_of(built.ref), float(share))}}
    for built in _of_kind(products, Kind.FOCAL_PLANE):
        with store.open(built) as path:
            for row in read_table(path, ["ccd", "level"]).to_pylist():
                yield {"flat level": {str(filter_of(built.ref)): facts.of_ccd(row["ccd"], row["level"])}}


def _write_night(night: NightFacts, products: Sequence[Built], store: Store, folder: Path) -> None:
    report, copied = _night_report(night.night, products), None
    if report is not None:
        copied = f"{night.night}_report.html"
        with store.open(report) as path:
            shutil.copyfile(path, folder / copied)
    (folder / f"{night.night}.html").write_text(pages.night_page(night, copied))


def _sections(store: Store, kinds: Sequence[Kind], folder: Path) -> list[SiteSection]:
    """Fits of some kinds, the last one first, each with its figures, which are copied if they are not there yet."""
    figures = store.list(Kind.FIGURE)
    sections = []
    for built in sorted((built for kind in kinds for built in store.list(kind)), key=lambda built: built.ref.data_id):
        of_fit = built.ref.data_id.rpartition("/")[0] + "/" if built.ref.kind is not Kind.LIGHT_CURVE else ""
        place = of_fit or f"{built.ref.data_id}/"
        shown = [figure for figure in figures if figure.ref.data_id.startswith(place) and _is_beside(figure, built)]
        sections.append(SiteSection(_title(built), built.about, [_picture(figure, store, folder) for figure in shown]))
    return sections[::-1]


def _is_beside(figure: Built, built: Built) -> bool:
    """Whether a figure is of a fit: those of star flats and of ubercals of a night lie at one place."""
    kind = figure.ref.data_id.rpartition("/")[2].partition("-")[0]
    match built.ref.kind:
        case Kind.LIGHT_CURVE:
            return True
        case Kind.ZERO_POINTS:
            return kind == "ubercal"
        case Kind.STARFLAT:
            return kind not in ("ubercal", "psf")
    return False


def _title(built: Built) -> str:
    if built.ref.kind is Kind.LIGHT_CURVE:
        target, band = built.ref.data_id.split("/")
        return f"{target.removeprefix('target_')} in {band}"
    of_what = "all stars in " if built.ref.kind is Kind.CURVE_OBJECTS else ""
    return f"{of_what}{filter_of(built.ref)}, {period_of(built.ref)} (recipe {built.ref.recipe})"


def _picture(figure: Built, store: Store, folder: Path) -> SitePicture:
    """A figure, named by its content, so that one that changed is another file."""
    address = f"pictures/{figure.sha256[:16]}.png"
    if not (folder / address).exists():
        (folder / "pictures").mkdir(exist_ok=True)
        with store.open(figure) as path:
            shutil.copyfile(path, folder / address)
    about = figure.about
    return SitePicture(address, str(about.get("title", figure.ref.label)), str(about.get("caption", "")))
