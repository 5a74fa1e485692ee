"""What could not be made is said, and does not stop the rest."""

import pytest

from tasks.runtime.outcome import Outcome, SetAside, as_outcome, attempt, total
from ztf_in2p3.errors import BadData, MissingProduct, TransientError
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.products import Built, Kind, ProductRef, catalogue_ref, psf_catalogue_ref
from ztf_in2p3.recipes import CatalogueRecipe, PsfCatalogueRecipe


def built(name: str, kind: Kind = Kind.RAW, *, found: bool = False) -> Built:
    return Built(ProductRef(kind, "-", name, name), sha256="0" * 64, size=1, found=found)


def make(part: str) -> Built:
    match part:
        case "bad":
            raise BadData("the file is a web page")
        case "missing":
            raise MissingProduct("no flat")
        case "later":
            raise TransientError("busy")
        case "bug":
            raise ZeroDivisionError
    return built(part)


def test_the_good_parts_are_made_and_the_bad_ones_named():
    outcome = attempt(["a", "bad", "b", "missing"], make)
    assert [one.ref.data_id for one in outcome.built] == ["a", "b"]
    assert outcome.set_aside == (
        SetAside("bad", "BadData: the file is a web page"),
        SetAside("missing", "MissingProduct: no flat"),
    )


def test_a_passing_fault_is_raised_only_after_the_others_were_tried():
    tried = []

    def note(part: str) -> Built:
        tried.append(part)
        return make(part)

    with pytest.raises(TransientError, match="busy"):
        attempt(["a", "later", "b"], note)
    assert tried == ["a", "later", "b"]


def test_a_mistake_in_the_code_stops_at_once():
    with pytest.raises(ZeroDivisionError):
        attempt(["a", "bug", "b"], make)
    with pytest.raises(ZeroDivisionError):
        as_outcome("bias c03", ZeroDivisionError())
    with pytest.raises(TypeError, match="bias c03"):
        as_outcome("bias c03", None)


def test_a_foreseen_error_is_set_aside_under_the_name_of_its_task():
    assert as_outcome("bias c03", BadData("why")).set_aside == (SetAside("bias c03", "BadData: why"),)


def test_totals_add_up():
    one = Outcome((built("a"), built("b", found=True), built("c", Kind.BIAS, found=True)))
    both = total([one, Outcome(set_aside=(SetAside("d", "why"),))])
    assert (both.n_made, both.n_found, len(both.set_aside)) == (1, 2, 1)
    assert both.table() == [
        {"product": "raw", "made": 1, "cached": 1},
        {"product": "bias", "made": 0, "cached": 1},
    ]
    assert str(both) == "1 made, 2 cached, 1 set aside"


def test_a_psf_stands_for_its_exposure_where_nothing_of_it_was_set_aside():
    """A supernova's exposures have PSFs only; of a night's, the catalogue of one failed after its PSF was made."""
    ccds = [CcdExposure(Exposure(f"20190405{n:06d}", 600, Filter.ZR, ImageType.OBJECT), 3) for n in (1, 2, 3, 4)]
    of_night, of_supernova, failed, _ = ccds
    made = [
        Built(catalogue_ref(CatalogueRecipe(), of_night), "0" * 64, 1),
        *(
            Built(psf_catalogue_ref(PsfCatalogueRecipe(), f"{ccd.exposure}/c03_q1"), "0" * 64, 1)
            for ccd in (of_supernova, failed)
        ),
    ]
    outcome = Outcome(made, [SetAside(str(failed), "BadData: no stars")], ccds)
    whole = outcome.completeness.all
    assert (whole.n_asked, whole.n_missing) == (4, 2)
