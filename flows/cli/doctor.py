"""``ztf doctor``: the first real night, checked step by step."""

from __future__ import annotations

from pathlib import Path

from tasks.runtime.arguments import checked
from ztf_in2p3.addresses import GAIA_ADDRESS, IRSA_ADDRESS


def doctor(
    night: str,
    store: str,
    *,
    archive: str = IRSA_ADDRESS,
    reference: str = GAIA_ADDRESS,
    camera: str = "ztf",
    cluster: str | None = None,
    ccd: int | None = None,
    filter: str | None = None,
    json: Path | None = None,
) -> int:
    """Check archive, files, reference stars, store, server and cluster against what the reduction believes of them.

    It does the smallest real thing of each kind, changes nothing but a scratch folder of the store, and ends with 0
    if all is OK, with 1 otherwise.

    Parameters
    ----------
    night
        A night on which the telescope was open, 20190405.
    store
        Folder or s3://bucket/prefix that is to receive products; a scratch folder in it is written, read and removed.
    archive
        Address of the archive, or a folder in its layout.
    reference
        HATS catalogue with Gaia's columns: a folder or an s3:// address.
    camera
        ztf, or tiny for simulated nights.
    cluster
        Address of a Dask scheduler; if not given that of ZTF_CLUSTER, if there is one.
    ccd
        CCD to look at, 1 to 16; the first that has a bias, a flat and a science frame if not given.
    filter
        zg, zr or zi; the first that has a flat and a science frame if not given.
    json
        File for a report that can be sent to the authors: it holds no passwords, accounts or home folders.
    """
    words = {"night": night, "store": store, "archive": archive, "reference": reference, "camera": camera}
    choice = {"ccds": None if ccd is None else [ccd], "filter": filter}
    right = checked(words | choice)
    from flows.cli.examination import examine  # loads all that is examined, once what was typed is right

    return examine(*(right[word] for word in words), cluster=cluster, ccd=ccd, filter=filter, json=json)
