"""``ztf site``: static pages of a store."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.runtime.arguments import checked


def site(store: str, folder: Path = Path("site")) -> int:
    """Write static pages of a store: calendar of nights, exposures, trends, fits and light curves; needs no server.

    Run again, it reads only the nights whose products are new or changed.

    Parameters
    ----------
    store
        Folder or s3://bucket/prefix of the products.
    folder
        Folder for the pages; made if it is not there.
    """
    right = checked({"store": store})
    from tasks.pages.website import make_site
    from tasks.runtime.settings import store_at  # loads what reads stores, once what was typed is right

    count = make_site(store_at(right["store"]), folder.expanduser().absolute())
    sys.stdout.write(f"{count.nights} nights, {count.renewed} of them read, {count.pictures} pictures\n")
    sys.stdout.write(f"open this: {count.index.as_uri()}\n")
    return 0
