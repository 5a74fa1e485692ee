"""What every store promises, whatever holds its files."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from hashlib import sha256

import pytest

from tests.lib.store.places import NIGHT, PROVENANCE, RECIPE, Maker, Place, bias, manifest_of, raw
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.errors import BadData, MissingProduct, TransientError
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, ProductRef
from ztf_in2p3.recipes import BiasRecipe, canonical
from ztf_in2p3.store import JointlyBuilt, JointProduct, Store, open_store
from ztf_in2p3.store.backends import Files, Stat


class Broken(Exception):
    """Raised on purpose."""


def never(spool):
    raise AssertionError("made again, though it should have been found")


def built(store: Store, ref: ProductRef | None = None, maker=never, inputs=(), recipe=RECIPE):
    return store.build(ref or bias(recipe=recipe), recipe, inputs, maker)


def content_of(store: Store, product) -> bytes:
    with store.open(product) as file:
        return file.read_bytes()


@dataclass
class Joint:
    """Three master biases written from one computation, and what befalls it."""

    harm: dict[int, Exception] = field(default_factory=dict)
    """What is raised while the bias of a CCD is written, half of it being there."""
    failure: Exception | None = None
    """What the computation raises."""
    before: Callable[[], object] = bool
    """Called in the computation."""
    calls: int = 0
    written: list[int] = field(default_factory=list)

    def text(self, ccdid: int) -> bytes:
        return b"bias of CCD %d " % ccdid * 100

    def build(self, store: Store, inputs=None) -> JointlyBuilt:
        def compute() -> dict[int, bytes]:
            self.calls += 1
            self.before()
            if self.failure:
                raise self.failure
            return {ccdid: self.text(ccdid) for ccdid in (1, 2, 3)}

        def write(ccdid, path, texts):
            path.write_bytes(texts[ccdid][:7])
            if ccdid in self.harm:
                raise self.harm[ccdid]
            path.write_bytes(texts[ccdid])
            self.written.append(ccdid)
            return {"ccdid": ccdid}

        products = [JointProduct(bias(ccdid), partial(write, ccdid), (inputs or {}).get(ccdid)) for ccdid in (1, 2, 3)]
        return store.build_all(products, RECIPE, [raw(3)], compute)


class StoreContract:
    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def store(self, place) -> Store:
        return open_store(place.url, PROVENANCE)

    # --- what a product follows from

    def test_another_camera_makes_another_product_of_what_is_computed_only(self, store):
        maker, fetched = Maker(), raw(1).ref
        for camera, made in ((TINY, 1), (TINY, 1), (ZTF, 2), (replace(ZTF, gain=6.1), 3)):
            of_camera = replace(store, camera=camera)
            built(of_camera, maker=maker)
            assert maker.calls == made
        download = Maker()
        for camera in (None, TINY, ZTF):
            replace(store, camera=camera).build(fetched, None, [], download)
        assert download.calls == 1

    # --- what goes in comes out

    def test_what_was_built_is_found_and_read_back(self, store, place):
        maker = Maker()
        made = built(store, maker=maker)

        assert (made.found, made.size, made.sha256) == (False, 2880, sha256(maker.content).hexdigest())
        assert store.find(bias()) == made
        assert store.require(bias()).found
        assert content_of(store, made) == content_of(store, bias()) == place.read(bias().path) == maker.content
        assert made.about == store.find(bias()).about == maker.about
        assert store.uri(bias()).endswith(bias().path)

    def test_a_file_is_opened_under_its_own_name(self, store):
        built(store, maker=Maker())
        with store.open(bias()) as file:
            assert file.name == bias().file_name

    def test_the_manifest_says_what_was_made_of_what_by_whom(self, store):
        inputs = [raw(1, "1" * 64), raw(2, "2" * 64)]
        made = built(store, maker=Maker(), inputs=inputs)
        manifest = store.manifest(bias())

        assert (manifest.ref, manifest.sha256, manifest.size) == (bias(), made.sha256, 2880)
        assert list(manifest.inputs) == inputs
        assert manifest.recipe == canonical(RECIPE)
        assert (manifest.package, manifest.git, manifest.host) == ("ztf_in2p3 0.1.0", "0123abc", "testhost")
        assert manifest.started.utcoffset() is not None
        assert manifest.wall_s > 0
        assert manifest.cpu_s >= 0

    def test_nothing_is_there_before_anything_was_made(self, store, place):
        assert store.find(bias()) is None
        assert store.list(Kind.BIAS) == []
        assert store.verify() == []
        for ask in (store.require, store.manifest, lambda ref: content_of(store, ref)):
            with pytest.raises(MissingProduct, match="bias c03 20190405"):
                ask(bias())
        assert place.paths() == []

    def test_what_was_removed_is_gone(self, store, place):
        made = built(store, maker=Maker())
        store.remove(bias())
        store.remove(bias())
        assert store.find(bias()) is None
        with pytest.raises(MissingProduct):
            content_of(store, made)
        assert place.paths() == []

    def test_a_store_goes_to_a_worker_and_back(self, store):
        built(store, maker=Maker())  # connected by now
        there = pickle.loads(pickle.dumps(store))
        assert built(there).found

    # --- made again if and only if it must be

    def test_a_rerun_makes_nothing(self, store, place):
        maker = Maker()
        built(store, maker=maker, inputs=[raw(1)])
        before = {path: place.read(path) for path in place.paths()}
        again = built(open_store(place.url, PROVENANCE), maker=maker, inputs=[raw(1)])
        assert (maker.calls, again.found) == (1, True)
        assert {path: place.read(path) for path in place.paths()} == before

    @pytest.mark.parametrize("victim", ["file", "manifest"])
    @pytest.mark.parametrize("harm", ["deleted", "cut", "emptied", "flipped", "foreign"])
    def test_exactly_what_was_harmed_is_made_again_with_equal_bytes(self, store, place, victim, harm):
        makers = {ccdid: Maker(bytes([ccdid]) * 2880) for ccdid in (1, 2, 3)}
        for ccdid, maker in makers.items():
            built(store, bias(ccdid), maker)
        path = bias(2).path if victim == "file" else manifest_of(bias(2))
        content = place.read(path)
        harmed = {
            "cut": content[: len(content) // 2],
            "emptied": b"",
            "flipped": content[:150] + bytes([content[150] ^ 1]) + content[151:],
            "foreign": place.read(bias(1).path if victim == "file" else manifest_of(bias(1))),
        }
        if harm == "deleted":
            place.remove(path)
        else:
            place.write(path, harmed[harm])

        assert store.find(bias(2)) is None
        assert [one.ref for one in store.list(Kind.BIAS)] == [bias(1), bias(3)]
        again = [built(store, bias(ccdid), maker) for ccdid, maker in makers.items()]

        assert [maker.calls for maker in makers.values()] == [1, 2, 1]
        assert [one.found for one in again] == [True, False, True]
        assert content_of(store, bias(2)) == place.read(bias(2).path) == makers[2].content
        assert store.verify() == []

    def test_a_manifest_of_another_time_or_program_is_none(self, store, place):
        built(store, maker=Maker())
        for text in (
            b"null",
            b"[]",
            b"{}",
            b'"x"',
            b"\xff\xfe",
            b'{"format": "something else", "seal": ""}',
            b"[" * 9999,
        ):
            place.write(manifest_of(bias()), text)
            assert store.find(bias()) is None
            assert store.list(Kind.BIAS) == []

    def test_a_file_rewritten_with_the_same_content_is_found(self, store, place):
        maker = Maker()
        built(store, maker=maker)
        place.write(bias().path, maker.content)
        assert built(store).found
        assert built(store).found

    def test_another_recipe_is_another_product(self, store):
        one, other = Maker(b"one"), Maker(b"other")
        built(store, maker=one)
        built(store, recipe=BiasRecipe(clip=4), maker=other)
        assert content_of(store, built(store)) == b"one"
        assert content_of(store, built(store, recipe=BiasRecipe(clip=4))) == b"other"

    def test_another_content_or_number_or_order_of_inputs_makes_it_again(self, store):
        maker = Maker()
        a, b = raw(1, "a" * 64), raw(2, "b" * 64)
        for inputs in ([a], [replace(a, sha256="c" * 64)], [a, b], [b, a], [b]):
            assert not built(store, maker=maker, inputs=inputs).found
            assert built(store, inputs=inputs).found
        assert maker.calls == 5

    def test_an_input_remade_with_equal_bytes_stops_the_cascade(self, store, place):
        one = ProductRef(Kind.RAW, "-", "20190405123456_000655_zr_b/c03", "ztf.fits.fz")
        made = store.build(one, None, [], Maker(b"raw"))
        built(store, maker=Maker(), inputs=[made])
        place.remove(one.path)

        again = store.build(one, None, [], Maker(b"raw"))
        assert not again.found
        assert built(store, inputs=[again]).found

    def test_a_product_made_anew_of_other_inputs_is_not_taken_for_the_old_one(self, store):
        old = built(store, maker=Maker(b"old"), inputs=[raw(1)])
        new = built(store, maker=Maker(b"new"), inputs=[raw(2)])
        assert content_of(store, new) == content_of(store, bias()) == b"new"
        with pytest.raises(MissingProduct, match="made anew"):
            content_of(store, old)
        assert built(store, inputs=[raw(2)]).found  # asking for the old one harmed nothing

    # --- whole or absent

    def test_a_remake_that_fails_takes_nothing_away(self, store, place):
        built(store, maker=Maker(b"old"), inputs=[raw(1)])

        def half_way(spool):
            spool.write_bytes(b"half")
            raise Broken

        with pytest.raises(Broken):
            built(store, maker=half_way, inputs=[raw(2)])
        assert content_of(store, built(store, inputs=[raw(1)])) == b"old"
        assert place.paths() == sorted([bias().path, manifest_of(bias())])

    @pytest.mark.parametrize("step", ["remove", "publish", "published", "write"])
    def test_a_publication_that_fails_leaves_the_old_product_or_none(self, store, place, step):
        built(store, maker=Maker(b"old"), inputs=[raw(1)])
        with pytest.raises(Broken):
            built(replace(store, files=Failing(store.files, step)), maker=Maker(b"new"), inputs=[raw(2)])

        there = store.find(bias())
        assert (there is not None) == (step == "remove")
        assert [one.ref for one in store.list(Kind.BIAS)] == ([bias()] if there else [])
        if there:
            assert content_of(store, there) == b"old"
        assert set(place.paths()) <= {bias().path, manifest_of(bias()), ".index/" + _index(bias())}
        built(store, maker=Maker(b"new"), inputs=[raw(2)])
        assert content_of(store, bias()) == b"new"

    def test_a_maker_that_makes_nothing_is_told_so(self, store):
        with pytest.raises(ValueError, match="found none"):
            built(store, maker=lambda spool: None)
        with pytest.raises(ValueError, match="found none"):
            built(store, maker=lambda spool: spool.symlink_to("/dev/null"))

    def test_what_cannot_be_noted_is_told_before_anything_is_published(self, store, place):
        with pytest.raises(TypeError, match="'frames'"):
            built(store, maker=Maker(about={"frames": [1, 2]}))
        assert place.paths() == []

    def test_an_address_of_another_recipe_is_refused(self, store):
        with pytest.raises(ValueError, match="digest"):
            store.build(bias(), BiasRecipe(clip=5), [], never)

    def test_an_address_never_leads_out_of_the_store(self, store):
        for data_id in ("../c03", "a//b", "a/./b", "/etc"):
            with pytest.raises(ValueError, match="out of the store"):
                store.find(ProductRef(Kind.BIAS, "-", data_id, "x"))
        for name in ("manifest.json", "a/b"):
            with pytest.raises(ValueError, match="name of a product"):
                store.find(ProductRef(Kind.BIAS, "-", "c03", name))

    def test_damage_is_found_on_reading_and_cured_by_the_next_run(self, store, place):
        # Even where the damage left the stamp as it was: here the manifest is made to say so.
        maker = Maker()
        made = built(store, maker=maker)
        place.write(bias().path, b"Y" + maker.content[1:])
        stamp = store.files.stat(bias().path).stamp
        place.write(manifest_of(bias()), str(replace(store.manifest(bias()), stamp=stamp)).encode())
        assert store.find(bias()) is not None
        assert len(store.verify()) == 1

        for product in (made, bias()):
            with pytest.raises(MissingProduct, match="run the flow"):
                content_of(store, product)
        assert not built(store, maker=maker).found
        assert content_of(store, made) == maker.content

    def test_verifying_names_each_file_that_is_wrong(self, store, place):
        for ccdid in (1, 2, 3, 4, 5):
            built(store, bias(ccdid), Maker())
        place.write(bias(1).path, b"Y" * 2880)
        place.remove(bias(2).path)
        place.remove(manifest_of(bias(3)))
        place.write(manifest_of(bias(4)), b"{")
        problems = store.verify(Kind.BIAS)
        assert len(problems) == 4
        for ccdid in (1, 2, 3, 4):
            assert sum(bias(ccdid).address in problem for problem in problems) == 1
        assert store.verify(Kind.FLAT) == []

    # --- several of one computation

    def test_a_computation_runs_once_and_only_for_what_is_missing(self, store):
        joint = Joint()
        made = joint.build(store)
        assert [product.found for product in made.built] == [False] * 3
        assert [content_of(store, product) for product in made.built] == [joint.text(ccdid) for ccdid in (1, 2, 3)]
        assert (joint.calls, joint.written, dict(made.failed)) == (1, [1, 2, 3], {})

        assert all(product.found for product in joint.build(store).built)
        assert joint.calls == 1

        store.remove(bias(2))
        again = joint.build(store)
        assert [product.found for product in again.built] == [True, False, True]
        assert (joint.calls, joint.written) == (2, [1, 2, 3, 2])
        assert again.built == made.built

    def test_inputs_of_its_own_make_one_product_anew_and_no_other(self, store):
        joint = Joint()
        joint.build(store, inputs={2: [raw(1)]})
        assert [product.found for product in joint.build(store, inputs={2: [raw(2)]}).built] == [True, False, True]

    def test_a_writer_killed_between_two_products_leaves_the_first(self, store, place):
        joint = Joint(harm={2: Broken()})
        with pytest.raises(Broken):
            joint.build(store)
        assert place.paths() == sorted([bias(1).path, manifest_of(bias(1))])

        joint.harm.clear()
        assert [product.found for product in joint.build(store).built] == [True, False, False]
        assert (joint.calls, store.verify()) == (2, [])

    def test_a_product_that_cannot_be_made_costs_no_other(self, store):
        joint = Joint(harm={2: BadData("q2 is dark")})
        made = joint.build(store)
        assert [product.ref for product in made.built] == [bias(1), bias(3)]
        assert [(refs, str(error)) for refs, error in made.reasons()] == [([bias(2)], "q2 is dark")]
        assert joint.calls == 1

    @pytest.mark.parametrize("error", [BadData("no stars"), MissingProduct("no bias")])
    def test_a_computation_that_fails_is_tried_once_and_costs_what_is_missing(self, store, error):
        joint = Joint()
        joint.build(store)
        for ccdid in (1, 3):
            store.remove(bias(ccdid))
        joint.failure, joint.calls = error, 0

        made = joint.build(store)

        assert [product.ref for product in made.built] == [bias(2)]
        assert list(made.reasons()) == [([bias(1), bias(3)], error)]
        assert joint.calls == 1

    def test_what_may_succeed_later_is_raised_when_the_others_are_made(self, store):
        joint = Joint(harm={1: TransientError("busy"), 2: BadData("dark")})
        with pytest.raises(TransientError, match="busy"):
            joint.build(store)
        assert [product.ref for product in store.list(Kind.BIAS)] == [bias(3)]

        joint.harm.clear()
        assert [product.found for product in joint.build(store).built] == [False, False, True]

    def test_two_writers_of_several_products_end_with_good_ones(self, store):
        meeting = threading.Barrier(2, timeout=20)
        joint = Joint(before=meeting.wait)  # both compute, since both found none
        with ThreadPoolExecutor(2) as pool:
            writers = [pool.submit(joint.build, store) for _ in range(2)]
        assert [dict(writer.result().failed) for writer in writers] == [{}, {}]
        assert (joint.calls, store.verify()) == (2, [])
        assert all(product.found for product in joint.build(store).built)
        assert [content_of(store, bias(ccdid)) for ccdid in (1, 2, 3)] == [joint.text(ccdid) for ccdid in (1, 2, 3)]

    # --- many at once

    def test_two_writers_of_one_product_end_with_one_good_product(self, store, place):
        # Both make it, since both found none: they meet inside `make`.
        meeting = threading.Barrier(2, timeout=20)

        def maker(spool):
            spool.write_bytes(b"the same")
            meeting.wait()

        writers = [threading.Thread(target=built, args=(store, bias(), maker)) for _ in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert content_of(store, built(store)) == b"the same"
        assert place.paths() == sorted([bias().path, manifest_of(bias())])

    def test_a_reader_never_sees_what_does_not_verify(self, store, place):
        # The writer alternates between two versions of very different length.
        versions = {sha256(text).hexdigest(): text for text in (b"a" * 100_000, b"b" * 7)}
        done, seen, failures = threading.Event(), [], []

        def read():
            reader = open_store(place.url, PROVENANCE)
            try:
                while not done.is_set() or not seen:
                    there = reader.find(bias())
                    if there is None:
                        continue
                    try:
                        with reader.open(there) as file:
                            seen.append((there.sha256, file.read_bytes()))
                    except MissingProduct:  # rewritten since
                        continue
            except Exception as error:  # noqa: BLE001 - told in the main thread
                failures.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        for turn in range(20):
            built(store, maker=Maker(list(versions.values())[turn % 2]), inputs=[raw(turn % 2)])
        done.set()
        reader.join()
        assert failures == []
        assert all(versions[digest] == content for digest, content in seen)
        assert store.find(bias()).sha256 == list(versions)[1]
        assert store.verify() == []

    # --- listing

    def test_a_list_has_what_is_asked_for_in_order(self, store):
        other_recipe, other_night = BiasRecipe(clip=4), Period.of(date(2019, 4, 6))
        refs = [
            bias(ccdid, recipe, night) for recipe in (RECIPE, other_recipe) for night in (NIGHT, other_night)
            for ccdid in (11, 1, 2)
        ]  # fmt: skip
        for ref in refs:
            store.build(ref, RECIPE if ref.recipe == refs[0].recipe else other_recipe, [], Maker(ref.path.encode()))

        def listed(*asked):
            return [one.ref for one in store.list(Kind.BIAS, *asked)]

        for _ in range(2):  # the second time from the index
            assert listed() == sorted(refs)
            assert listed(refs[0].recipe) == sorted(refs[:6])
            assert listed(None, "20190406") == sorted(ref for ref in refs if ref.data_id.startswith("20190406"))
            assert listed(refs[0].recipe, "20190405_20190405/c1") == [bias(11)]
            assert listed(refs[0].recipe, "20190405_20190405/c11") == [bias(11)]
            assert listed(refs[0].recipe, "2019040") == sorted(refs[:6])
            assert listed(refs[0].recipe, "20190407") == listed("no such recipe") == []
        assert store.list(Kind.FLAT) == []
        assert all(one == store.find(one.ref) and one.found for one in store.list(Kind.BIAS))

    def test_the_whole_store_can_be_listed(self, store, place):
        """With what is foreign to it, at its top too."""
        built(store, maker=Maker())
        place.write("README", b"mine")
        listed = store.files.list("")
        assert [path for path in place.paths() if not path.startswith(".")] == sorted(
            path for path in listed if not path.startswith(".")
        )
        assert listed["README"].size == 4

    def test_a_list_carries_what_was_noted(self, store):
        maker = Maker()
        built(store, maker=maker)
        for _ in range(2):
            assert [one.about for one in store.list(Kind.BIAS)] == [maker.about]

    def test_a_night_is_looked_up_without_a_request_for_each_product(self, store):
        for ccdid in range(1, 9):
            built(store, bias(ccdid), Maker())
        store.list(Kind.BIAS)
        counting = Counting(store.files)
        assert len(replace(store, files=counting).list(Kind.BIAS, bias().recipe, "20190405")) == 8
        assert sorted(counting.calls) == ["list", "read"]

    @pytest.mark.parametrize("harm", ["deleted", "cut", "flipped", "foreign", "stale"])
    def test_an_index_is_never_the_truth(self, store, place, harm):
        for ccdid in (1, 2, 3):
            built(store, bias(ccdid), Maker(bytes([ccdid]) * 100))
        index = f".index/{_index(bias())}"
        store.list(Kind.BIAS)
        old = place.read(index)
        built(store, bias(2), Maker(b"new"), inputs=[raw(1)])
        store.remove(bias(3))
        built(store, bias(4), Maker(b"fourth"))
        truth = [store.find(bias(ccdid)) for ccdid in (1, 2, 4)]
        assert store.list(Kind.BIAS) == truth

        if harm == "deleted":
            place.remove(index)
        elif harm == "flipped":
            for at in range(0, len(place.read(index)), 499):  # anywhere in the file
                content = bytearray(place.read(index))
                content[at] ^= 4
                place.write(index, bytes(content))
                assert store.list(Kind.BIAS) == truth
        else:
            place.write(index, {"cut": old[:100], "foreign": b"not a table", "stale": old}[harm])
        assert store.list(Kind.BIAS) == truth
        assert store.list(Kind.BIAS) == truth

    def test_a_partial_look_up_forgets_nothing_of_the_index(self, store):
        for ccdid in (1, 2, 3):
            built(store, bias(ccdid), Maker())
        store.list(Kind.BIAS)
        built(store, bias(2), Maker(), inputs=[raw(1)])
        store.list(Kind.BIAS, bias().recipe, "20190405_20190405/c02")
        counting = Counting(store.files)
        assert len(replace(store, files=counting).list(Kind.BIAS, bias().recipe)) == 3
        assert sorted(counting.calls) == ["list", "read"]


def _index(ref: ProductRef) -> str:
    return f"{ref.kind}/{ref.recipe}/{ref.data_id[:8]}.parquet"


class Counting:
    """Files that remember what they were asked."""

    def __init__(self, files: Files) -> None:
        self.files, self.calls = files, []

    def __getattr__(self, name):
        def asked(*args):
            self.calls.append(name)
            return getattr(self.files, name)(*args)

        return asked


class Failing:
    """Files that break at one step of a publication: before it, or after it was done."""

    def __init__(self, files: Files, step: str) -> None:
        self.files, self.step = files, step

    def __getattr__(self, name):
        if name == self.step:
            raise Broken
        return getattr(self.files, name)

    def publish(self, file, path, sha256) -> Stat:
        if self.step == "publish":
            raise Broken
        stat = self.files.publish(file, path, sha256)
        if self.step == "published":
            raise Broken
        return stat
