"""Damage of every kind, planted in a store: each is found and named, and nothing else is."""

import shutil
from dataclasses import replace

import pytest

from tests.lib.audit.night import FLAT, Night, image
from ztf_in2p3.audit import holdings_of, retraction
from ztf_in2p3.audit.findings import Trouble, verify
from ztf_in2p3.recipes import BiasRecipe, canonical
from ztf_in2p3.store import Manifest
from ztf_in2p3.store.manifest import fingerprint


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Night:
    """A night that no test changes."""
    return Night(tmp_path_factory.mktemp("audit") / "store")


@pytest.fixture
def night(still, tmp_path) -> Night:
    shutil.copytree(still.root, tmp_path / "store")
    return Night(tmp_path / "store")


def troubles(night: Night, *, hashing: bool = True) -> list[tuple[Trouble, str]]:
    findings = verify(night.store, holdings_of(night.store), hashing=hashing)
    return sorted((finding.trouble, finding.path) for finding in findings)


def alter(night: Night, name: str, **changes) -> None:
    """Replace the manifest by one with a seal that fits."""
    path = night.manifest(name)
    path.write_text(str(replace(Manifest.parse(path.read_text()), **changes)))


def remove_file(night: Night):
    night.file("flat").unlink()
    return [(Trouble.NO_FILE, night["flat"].ref.path)]


def flip_a_bit(night: Night):
    content = bytearray(night.file("bias").read_bytes())
    content[-100] ^= 1
    night.file("bias").write_bytes(content)
    return [(Trouble.DAMAGED, night["bias"].ref.path)]


def cut_a_file(night: Night):
    night.file("sky 21").write_bytes(night.file("sky 21").read_bytes()[:2880])
    return [(Trouble.DAMAGED, night["sky 21"].ref.path)]


def cut_a_manifest(night: Night):
    night.manifest("flat").write_text(night.manifest("flat").read_text()[:200])
    return [(Trouble.BAD_MANIFEST, f"{night['flat'].ref.address}/manifest.json")]


def move_a_manifest(night: Night):
    shutil.copy(night.manifest("catalogue 21"), night.manifest("catalogue 22"))
    return [(Trouble.BAD_MANIFEST, f"{night['catalogue 22'].ref.address}/manifest.json")]


def remove_a_manifest(night: Night):
    night.manifest("led flat").unlink()
    return [(Trouble.ORPHAN, night["led flat"].ref.path)]


def put_a_file_beside(night: Night):
    night.file("bias").with_name("notes.txt").write_text("looks fine")
    return [(Trouble.FOREIGN, f"{night['bias'].ref.address}/notes.txt")]


def put_a_folder(night: Night):
    (night.root / "plots").mkdir()
    (night.root / "plots" / "bias.png").write_bytes(b"png")
    (night.root / "README").write_text("mine")
    return [(Trouble.FOREIGN, "README"), (Trouble.FOREIGN, "plots/bias.png")]


def exchange_the_recipe(night: Night):
    alter(night, "bias", recipe=canonical(BiasRecipe(clip=4.5)))
    return [(Trouble.OTHER_RECIPE, night["bias"].ref.path)]


def exchange_the_inputs(night: Night):
    alter(night, "bias", inputs=(night["bias frame 1"],))
    return [(Trouble.OTHER_FINGERPRINT, night["bias"].ref.path)]


def make_an_input_anew(night: Night):
    frames = [night[f"bias frame {n}"] for n in (1, 2)]
    night.make("bias", night["bias"].ref, FLAT.led.bias, frames, image(999))
    children = ("catalogue 21", "catalogue 22", "led flat")
    return [(Trouble.CHANGED_INPUT, night[name].ref.path) for name in children]


def lose_an_input(night: Night):
    shutil.rmtree(night.file("sky 22").parent)
    return [(Trouble.LOST_INPUT, night["catalogue 22"].ref.path)]


def forget_the_code(night: Night):
    alter(night, "catalogue 21", git="unknown")
    alter(night, "catalogue 22", git="0123abc-dirty")
    return [(Trouble.UNKNOWN_CODE, night[f"catalogue {n}"].ref.path) for n in (21, 22)]


def retract_a_flat(night: Night):
    holdings = holdings_of(night.store)
    source = holdings.named(night["flat"].ref.address)
    retraction.mark(night.store, source, retraction.affected(holdings, source), "lamp flickered")
    return [(Trouble.RETRACTED, night[name].ref.path) for name in ("catalogue 21", "catalogue 22", "flat")]


DAMAGES = {
    remove_file: Trouble.NO_FILE,
    flip_a_bit: Trouble.DAMAGED,
    cut_a_file: Trouble.DAMAGED,
    cut_a_manifest: Trouble.BAD_MANIFEST,
    move_a_manifest: Trouble.BAD_MANIFEST,
    remove_a_manifest: Trouble.ORPHAN,
    put_a_file_beside: Trouble.FOREIGN,
    put_a_folder: Trouble.FOREIGN,
    exchange_the_recipe: Trouble.OTHER_RECIPE,
    exchange_the_inputs: Trouble.OTHER_FINGERPRINT,
    make_an_input_anew: Trouble.CHANGED_INPUT,
    lose_an_input: Trouble.LOST_INPUT,
    forget_the_code: Trouble.UNKNOWN_CODE,
    retract_a_flat: Trouble.RETRACTED,
}


def test_nothing_is_wrong_with_a_good_store(night):
    assert troubles(night) == []
    assert len(holdings_of(night.store).manifests) == len(night.products)


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_a_damage_is_named_and_nothing_else(night, damage):
    troubles(night)  # an index of before the damage is there
    planted = damage(night)
    assert troubles(night) == sorted(planted)
    assert {trouble for trouble, _ in planted} == {DAMAGES[damage]}


def test_every_trouble_is_planted():
    assert set(DAMAGES.values()) == set(Trouble)


def test_damages_together_are_each_named(night):
    chosen = (flip_a_bit, put_a_file_beside, put_a_folder, lose_an_input, remove_file, cut_a_file)
    planted = [trouble for damage in chosen for trouble in damage(night)]
    assert troubles(night) == sorted(planted)


def test_without_hashing_a_flipped_bit_is_not_seen_but_a_cut_is(night):
    flip_a_bit(night)
    assert troubles(night, hashing=False) == []
    planted = cut_a_file(night)
    assert troubles(night, hashing=False) == planted


def test_a_remade_product_is_not_retracted_any_more(night):
    retract_a_flat(night)
    night.make("flat", night["flat"].ref, FLAT, [night["led flat"], night["bias"]], image(55))
    marked = [path for trouble, path in troubles(night) if trouble is Trouble.RETRACTED]
    assert night["flat"].ref.path not in marked
    assert night["catalogue 21"].ref.path in marked


def test_the_fingerprint_is_that_of_a_known_camera(night):
    inputs = [night[f"bias frame {n}"] for n in (1, 2, 3)]
    noted = Manifest.parse(night.manifest("bias").read_text())
    assert noted.fingerprint == fingerprint(noted.ref.kind, FLAT.led.bias, inputs, night.store.camera)
