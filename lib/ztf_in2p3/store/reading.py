"""Products as verified local files, and what has no product as an input of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ztf_in2p3.errors import BadData
from ztf_in2p3.products import NO_RECIPE, Built, Kind, ProductRef
from ztf_in2p3.store import Store


@contextmanager
def opened(store: Store, products: Iterable[Built]) -> Iterator[list[Path]]:
    """Several at once.

    Raises
    ------
    BadData
        As raised within, but naming the product where it lies in the store: the local file is
        gone by the time somebody reads the message, and has another name the next time.
    """
    products = list(products)
    with ExitStack() as stack:
        paths = [stack.enter_context(store.open(product)) for product in products]
        try:
            yield paths
        except BadData as error:
            message = str(error)
            for path, product in zip(paths, products, strict=True):
                message = message.replace(str(path), store.uri(product.ref))
            raise BadData(message) from error


@contextmanager
def opened_file(store: Store, product: Built) -> Iterator[Path]:
    """A single one; errors as `opened`."""
    with opened(store, [product]) as (path,):
        yield path


def file_as_input(path: str) -> Built:
    """A file that somebody else made, as an input of a product: other content makes another product."""
    with Path(path).open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    ref = ProductRef(Kind.REFERENCE, NO_RECIPE, "external", Path(path).name)
    return Built(ref, content, Path(path).stat().st_size)


def as_input(ref: ProductRef, value: object) -> Built:
    """What an operator told, which has no file, as an input of a product: another word makes another product."""
    text = json.dumps(value)
    input_ref = ProductRef(Kind.SUMMARY, NO_RECIPE, f"{ref.data_id}/told", "told.json")
    return Built(input_ref, hashlib.sha256(text.encode()).hexdigest(), len(text))
