"""Calls of tasks and flows that are wrong, and that mypy must refuse: ``make check`` runs it over this file.

Each is excused by an ignored error; where there is no error any more, the excuse is unused, which mypy refuses too.
Nothing here is ever executed.
"""

from __future__ import annotations

from datetime import date

from flows.catalogue import catalogue
from flows.fringes import fringes
from flows.import_table import import_table
from flows.nightly import nightly
from flows.report import report
from tasks.archive import fetch_stars, find_frames
from tasks.calibration import make_bias
from tasks.nightly import step
from tasks.runtime.policies import collect, launch
from ztf_in2p3.archive import Archive
from ztf_in2p3.camera import TINY
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, bias_ref, flat_ref
from ztf_in2p3.recipes import BiasRecipe, CatalogueRecipe, FlatRecipe
from ztf_in2p3.store import Store


def tasks_are_typed(raws: list[Built], store: Store, archive: Archive) -> None:
    """A task is started with the arguments of its function, and no others."""
    recipe, period = BiasRecipe(), Period.of(date(2019, 4, 5))
    target = bias_ref(recipe, period, 3)
    collect([launch(make_bias, target, raws, TINY, recipe, store)])
    launch(make_bias, target, raws, TINY, FlatRecipe(), store)  # type: ignore[arg-type]
    launch(make_bias, target, raws, "tiny", recipe, store)  # type: ignore[arg-type]
    launch(make_bias, target, raws, TINY, recipe)  # type: ignore[call-arg]
    launch(make_bias, target, raws, TINY, recipe, stoer=store)  # type: ignore[call-arg]
    launch(fetch_stars, target, "5", 3, None, recipe, store)  # type: ignore[arg-type]
    find_frames(archive, "20190405", (), ())  # type: ignore[call-overload]


def addresses_are_typed(period: Period) -> None:
    """An address takes what its row of the table of products says."""
    str(flat_ref(FlatRecipe(), period, filter=Filter.ZR, ccdid=3).address)
    bias_ref(FlatRecipe(), period, 3)  # type: ignore[arg-type]
    bias_ref(BiasRecipe(), period)  # type: ignore[call-arg]
    bias_ref(BiasRecipe(), "20190405", 3)  # type: ignore[arg-type]
    flat_ref(FlatRecipe(), period, Filter.ZR, ccd=3)  # type: ignore[call-arg]


def flows_are_typed(store: str) -> None:
    """A flow takes what its function takes, and returns an outcome."""
    list(report("20190405", store, camera="tiny").built)
    report("20190405", store, ccds=3)  # type: ignore[arg-type]
    report("20190405", store, camra="tiny")  # type: ignore[call-arg]
    report(period="20190405", store=store)  # type: ignore[call-arg]
    list(catalogue("20190405", store, fields=[655], recipe=CatalogueRecipe()).pages)  # type: ignore[attr-defined]
    catalogue(period="20190405", store=store, max_set_aside="0.2")  # type: ignore[arg-type]
    catalogue("20190405", store, recipe=BiasRecipe())  # type: ignore[arg-type]
    fringes("20190405", store, exposures="list.csv", filters=["zi"])  # type: ignore[call-arg]
    import_table("20190405", store, columns="irsa")  # type: ignore[call-arg]
    nightly("20190405", store, camra="tiny")  # type: ignore[call-overload]


def steps_are_typed(store: str) -> None:
    """A flow that runs as a step of another takes the same."""
    list(step(catalogue, "20190405", store, ccds=[3]).built)
    step("catalogue", store)  # type: ignore[arg-type]
    step(catalogue, "20190405", store, ccds=3)  # type: ignore[arg-type]
    step(catalogue, "20190405", store, camra="tiny")  # type: ignore[call-arg]
