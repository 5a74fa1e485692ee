"""What follows from what: ancestry, retraction, contents; and the commands that show it."""

import json
import shutil

import pytest

from flows.cli.main import main
from tests.lib.audit.night import Night, image
from ztf_in2p3.audit import holdings_of, retraction
from ztf_in2p3.audit.ancestry import ancestry
from ztf_in2p3.errors import BadData, Mistyped

COMPUTED = {"bias", "led flat", "flat", "catalogue 21", "catalogue 22"}


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Night:
    """A night that no test changes."""
    return Night(tmp_path_factory.mktemp("audit") / "store")


@pytest.fixture
def night(still, tmp_path) -> Night:
    shutil.copytree(still.root, tmp_path / "store")
    copied = Night(tmp_path / "store")
    assert all(product.found for product in copied.products.values())
    return copied


def names(night: Night, addresses) -> set[str]:
    by_address = {product.ref.address: name for name, product in night.products.items()}
    return {by_address[address] for address in addresses}


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    written = capsys.readouterr()
    return code, written.out, written.err


def test_the_ancestry_goes_down_to_the_raw_files(still):
    products = ancestry(holdings_of(still.store), still["catalogue 21"].ref.address)["products"]
    assert names(still, products) == set(still.products) - {"catalogue 22", "sky 22"}
    assert [entry["address"] for entry in products[still["flat"].ref.address]["inputs"]] == [
        still["led flat"].ref.address
    ]


def test_what_follows_from_a_bad_frame(still):
    holdings = holdings_of(still.store)

    def following(name: str) -> list[str]:
        made = retraction.affected(holdings, holdings.named(still[name].ref.file_name))
        return [manifest.ref.address for manifest in made]

    assert names(still, following("bias frame 1")) == COMPUTED
    assert names(still, following("flat frame 11")) == COMPUTED - {"bias"}
    assert names(still, following("sky 21")) == {"catalogue 21"}
    assert following("catalogue 21") == []
    order = following("bias frame 1")
    assert all(
        order.index(product.ref.address) < order.index(address)
        for address in order
        for product in holdings.manifests[address].inputs
        if product.ref.address in order
    )


def test_what_was_made_of_other_content_does_not_follow(night):
    """A frame that was fetched anew: only what was made of the present one follows from it."""
    frame = night["sky 21"]
    night.products["sky 21"] = night.store.build(frame.ref, None, [], image(5), is_outdated=lambda built: True)
    holdings = holdings_of(night.store)
    assert retraction.affected(holdings, holdings.named(frame.ref.address)) == []


def test_what_is_removed_is_made_again_and_nothing_else(night, capsys):
    before = {name: product.sha256 for name, product in night.products.items()}
    code, out, _ = run(capsys, "retract", night.root, night["flat frame 12"].ref.address)
    assert code == 0
    assert "4 products" in out
    night.reduce()
    assert all(night[name].found for name in COMPUTED)  # only listed so far
    run(capsys, "retract", night.root, night["flat frame 12"].ref.address, "--remove")
    night.reduce()
    assert {name for name in COMPUTED if not night[name].found} == COMPUTED - {"bias"}
    assert {name: product.sha256 for name, product in night.products.items()} == before


def test_marks_are_shown_and_taken_back(night, capsys):
    flat = night["flat"].ref.address
    run(capsys, "retract", night.root, flat, "--mark", "lamp flickered")
    code, out, _ = run(capsys, "verify", night.root)
    assert code == 1
    assert out.count("retracted: ") == out.count("lamp flickered") == 3
    rows = json.loads(run(capsys, "ls", night.root, "--json")[1])
    assert {row["kind"]: row["retracted"] for row in rows if row["retracted"]} == {"flat": 1, "apcat": 2}
    assert "3 marks taken back" in run(capsys, "retract", night.root, flat, "--withdraw")[1]
    assert run(capsys, "verify", night.root) == (0, "12 products, 0 findings\n", "")


def test_a_mark_that_cannot_be_read_is_no_good_product(night, capsys):
    (night.root / ".retracted").mkdir()
    (night.root / ".retracted" / "x.json").write_text("{")
    with pytest.raises(BadData, match="no mark of a retraction"):
        retraction.retractions(night.store)
    code, _, err = run(capsys, "verify", night.root)
    assert code == 1
    assert "retract again" in err


def test_contents_by_kind_night_and_ccd(still, capsys):
    rows = json.loads(run(capsys, "ls", still.root, "--json")[1])
    counts = {row["kind"]: row["products"] for row in rows}
    assert counts == {"raw": 7, "bias": 1, "ledflat": 1, "flat": 1, "apcat": 2}
    assert sum(row["bytes"] for row in rows) == sum(product.size for product in still.products.values())
    assert run(capsys, "ls", still.root, "--nights", "201905")[1] == "nothing\n"
    assert run(capsys, "ls", still.root, "--ccds", "4")[1] == "nothing\n"
    by_night = json.loads(run(capsys, "ls", still.root, "--by", "night", "--nights", "201904", "--json")[1])
    assert {row["night"] for row in by_night} == {"20190405"}
    products = run(capsys, "ls", still.root, "--by", "product", "--kinds", "apcat")[1].splitlines()
    assert len(products) == 3
    assert all(still[f"catalogue {n}"].ref.file_name in products[k] for k, n in ((1, 21), (2, 22)))


def test_a_copied_file_is_recognised_by_its_content(still, capsys, tmp_path):
    copy = tmp_path / "mine.fits"
    shutil.copy(still.file("flat"), copy)
    code, out, _ = run(capsys, "explain", copy, "--store", still.root)
    assert code == 0
    assert still["flat"].ref.path in out
    assert "FlatRecipe" in out
    assert all(f"raw c03 {still[f'{kind} frame {n}'].ref.data_id.split('/')[0]}" in out for kind, n in (
        ("bias", 1), ("flat", 11)))  # fmt: skip
    alone = run(capsys, "explain", copy)[1]
    assert f"sha256 = {still['flat'].sha256}" in alone
    assert "LEVEL = 100.0" in alone
    copy.write_bytes(copy.read_bytes() + b"0")
    code, _, err = run(capsys, "explain", copy, "--store", still.root)
    assert code == 2
    assert "no product" in err


def test_names_that_mean_nothing_or_several_are_refused(still):
    holdings = holdings_of(still.store)
    with pytest.raises(Mistyped, match=r"no product is called 'flat\.fits'"):
        holdings.named("flat.fits")
    assert holdings.named(still.store.uri(still["flat"].ref)).ref == still["flat"].ref
    assert holdings.named(still["flat"].ref.label).ref == still["flat"].ref


def test_a_store_that_is_not_there_is_a_typing_error(capsys, tmp_path):
    code, _, err = run(capsys, "verify", tmp_path / "nowhere")
    assert code == 2
    assert "there is no folder" in err
    assert not (tmp_path / "nowhere").exists()
