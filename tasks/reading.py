"""Several products at once, as verified local files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lib.products import Built
from lib.store import Store


@contextmanager
def opened(store: Store, products: Iterable[Built]) -> Iterator[list[Path]]:
    with ExitStack() as stack:
        yield [stack.enter_context(store.open(one)) for one in products]
