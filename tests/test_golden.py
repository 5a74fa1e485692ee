"""A reminder: who changes the numbers of a product raises the version of its recipe."""

import json

import pytest

from tests.golden import GOLDEN, golden


@pytest.fixture(scope="module")
def now():
    return golden()


@pytest.mark.parametrize("product", json.loads(GOLDEN.read_text()))
def test_a_product_keeps_its_numbers_as_long_as_its_recipe_keeps_its_digest(now, product):
    before = json.loads(GOLDEN.read_text())[product]
    for name, values in before.items():
        # Summed in another order, by another processor, float32 numbers agree to a few parts in a million.
        assert now[product][name] == (
            pytest.approx(values, rel=2e-5, abs=1e-6) if isinstance(values, list) else values
        ), (
            f"{name} of the {product} has changed. If that is meant, raise the recipe's "
            "version; then `python -m tests.golden`."
        )
