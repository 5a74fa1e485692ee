"""flows -> tasks -> lib, and never back; the simulator shares constants with the reduction, not code."""

import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
graph = grimp.build_graph("ztf_in2p3", "tasks", "flows", include_external_packages=True)


def importers(of: set[str], within: str) -> list[str]:
    return [
        f"{module} imports {target}"
        for module in sorted(graph.modules)
        if module == within or module.startswith(f"{within}.")
        for target in sorted(graph.find_modules_directly_imported_by(module))
        if any(target == name or target.startswith(f"{name}.") for name in of)
    ]


@pytest.mark.parametrize(
    ("layer", "above"),
    [("ztf_in2p3", {"tasks", "flows", "prefect"}), ("tasks", {"flows"})],
)
def test_a_layer_never_imports_one_above_it(layer, above):
    assert importers(above, within=layer) == []


def test_within_tasks_products_import_inputs_and_inputs_import_the_runtime():
    packages = ("tasks.inputs", "tasks.runtime")
    products = {
        module
        for module in graph.modules
        if module.startswith("tasks.") and not any(module == name or module.startswith(f"{name}.") for name in packages)
    }
    assert importers(products, within="tasks.inputs") == []
    assert importers(products | {"tasks.inputs"}, within="tasks.runtime") == []


def test_truth_and_its_undoing_share_no_code():
    packages = ("sensor", "detrend", "catalogue", "frames", "fit", "psf", "scene", "starflat", "ubercal")
    reduction = {f"ztf_in2p3.{package}" for package in packages}
    assert importers(reduction, within="ztf_in2p3.simulate") == []
    assert all(importers({"ztf_in2p3.simulate"}, within=room) == [] for room in reduction)


def test_no_module_hides_one_of_the_standard_library():
    # A deployment's entrypoint puts its own folder first on sys.path, where any name would win.
    ours = [path for folder in ("flows", "tasks") for path in (ROOT / folder).glob("*.py")]
    assert [str(path) for path in ours if path.stem in sys.stdlib_module_names] == []
    assert [str(path) for path in ours if path.stem in {"lib", "tasks", "flows"}] == []


def test_the_library_asks_no_environment():
    asking = [
        str(p) for p in (ROOT / "lib").rglob("*.py") if "os.environ" in p.read_text() or "getenv" in p.read_text()
    ]
    assert asking == []
