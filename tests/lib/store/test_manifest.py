"""A manifest can be written down and read back, and a fingerprint tells what differs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ztf_in2p3.products import Built, Kind, ProductRef
from ztf_in2p3.recipes import BiasRecipe, FlatRecipe
from ztf_in2p3.store.manifest import Manifest, fingerprint, plain

texts = st.text(max_size=20)
sizes = st.integers(0, 2**63)
seconds = st.floats(0, 1e9)
refs = st.builds(ProductRef, st.sampled_from(Kind), texts, texts, texts)
products = st.builds(Built, refs, texts, sizes)
values = st.none() | texts | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
manifests = st.builds(
    Manifest, ref=refs, sha256=texts, size=sizes, stamp=texts, inputs=st.lists(products, max_size=4).map(tuple),
    recipe=st.none() | texts, fingerprint=texts, package=texts, git=texts, host=texts,
    started=st.datetimes(timezones=st.just(UTC)), wall_s=seconds, cpu_s=seconds,
    about=st.dictionaries(texts, values, max_size=4),
)  # fmt: skip


@given(manifests)
def test_a_manifest_survives_its_own_text(manifest):
    back = Manifest.parse(str(manifest))
    assert back == manifest
    assert str(back) == str(manifest)
    assert back.ref.file_name == manifest.ref.file_name  # of which equality knows nothing
    assert [type(value) for value in back.about.values()] == [type(value) for value in manifest.about.values()]


@settings(max_examples=40)
@given(manifests, st.data())
def test_a_manifest_that_was_cut_or_altered_is_none(manifest, data):
    text = str(manifest)
    at = data.draw(st.integers(0, len(text) - 3))
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever message
        Manifest.parse(text[:at])
    other = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != text[at]))
    altered = text[:at] + other + text[at + 1 :]
    try:
        back = Manifest.parse(altered)
    except ValueError:
        return
    assert back == manifest  # a change of white space or of the way a number is written, and of nothing else


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"x"', "{}", '{"seal": 1}', '{"format": "x", "seal": "y"}'])
def test_something_else_is_no_manifest(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever message
        Manifest.parse(text)


def test_a_fingerprint_follows_all_that_a_product_follows_from():
    ref = ProductRef(Kind.RAW, "-", "20190405123456_000655_zr_b/c03", "a.fits.fz")
    a, b = Built(ref, "a" * 64, 10), Built(replace(ref, data_id="other"), "b" * 64, 10)
    asked = [
        (Kind.BIAS, BiasRecipe(), [a, b]),
        (Kind.FLAT, BiasRecipe(), [a, b]),
        (Kind.BIAS, BiasRecipe(clip=4), [a, b]),
        (Kind.BIAS, FlatRecipe(), [a, b]),
        (Kind.BIAS, None, [a, b]),
        (Kind.BIAS, BiasRecipe(), [b, a]),
        (Kind.BIAS, BiasRecipe(), [a]),
        (Kind.BIAS, BiasRecipe(), []),
        (Kind.BIAS, BiasRecipe(), [replace(a, sha256="c" * 64), b]),
        (Kind.BIAS, BiasRecipe(), [replace(a, ref=replace(ref, data_id="moved")), b]),
    ]
    assert len({fingerprint(*one) for one in asked}) == len(asked)


def test_a_fingerprint_does_not_follow_what_changes_nothing():
    ref = ProductRef(Kind.RAW, "-", "x", "a.fits.fz")
    told = Built(ref, "a" * 64, 10, about={"url": "here"}, found=True)
    assert fingerprint(Kind.BIAS, BiasRecipe(), [told]) == fingerprint(
        Kind.BIAS, BiasRecipe(), [Built(replace(ref, file_name="b.fits.fz"), "a" * 64, 10)]
    )


def test_facts_are_noted_as_plain_values():
    noted = plain({"a": np.float32(0.5), "b": np.int16(3), "c": np.bool_(True), "d": np.str_("x"), "e": np.float64(2)})
    assert noted == {"a": 0.5, "b": 3, "c": True, "d": "x", "e": 2.0}
    assert [type(value) for value in noted.values()] == [float, int, bool, str, float]
    assert plain({"a": float("nan"), "b": np.float32("inf"), "kind": Kind.RAW}) == {"a": None, "b": None, "kind": "raw"}
    assert type(plain({"kind": Kind.RAW})["kind"]) is str


@pytest.mark.parametrize("value", [[1], {"a": 1}, 1j, b"x", np.zeros(3)])
def test_what_is_no_small_fact_is_refused(value):
    with pytest.raises(TypeError, match="'it'"):
        plain({"it": value})


def test_a_time_needs_its_zone_to_be_understood_elsewhere():
    started = datetime(2019, 4, 5, 3, 0, tzinfo=UTC)
    ref = ProductRef(Kind.RAW, "-", "x", "y")
    manifest = Manifest(ref, "", 0, "", (), None, "", "", "", "", started, 0.0, 0.0)
    assert '"2019-04-05T03:00:00+00:00"' in str(manifest)
