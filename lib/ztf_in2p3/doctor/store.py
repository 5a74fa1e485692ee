"""What a place for products must be able to do, tried in a scratch folder of its own."""

from __future__ import annotations

from collections.abc import Callable

from ztf_in2p3.doctor.findings import Check, Result, differs, failed, ok
from ztf_in2p3.store.backends import Files

_NAME, _FOLDER = "files/hello.bin", "files"
_CONTENT = bytes(range(256)) * 40
_MORE = b"another content"


class ScratchStore:
    """A scratch place, and the way to write a file there only if it does not exist.

    Parameters
    ----------
    files
        Rooted in the scratch folder, which holds nothing.
    create
        Writes a file unless it exists; False if it did.
    """

    def __init__(self, files: Files, create: Callable[[str, bytes], bool]) -> None:
        self.files = files
        self.create = create


def write(scratch: ScratchStore) -> Result:
    scratch.files.write(_NAME, _CONTENT)
    return ok(f"{len(_CONTENT)} bytes", "a file written whole")


def listing(scratch: ScratchStore) -> Result:
    found = {path: stat.size for path, stat in scratch.files.list(_FOLDER).items()}
    expected = f"{_NAME} of {len(_CONTENT)} bytes"
    if found != {_NAME: len(_CONTENT)}:
        text = ", ".join(f"{path} of {size} bytes" for path, size in found.items()) or "nothing"
        return differs(text, expected, "what was written is not listed at once: products would be made twice")
    return ok(expected, expected)


def read_back(scratch: ScratchStore) -> Result:
    found = scratch.files.read(_NAME)
    expected = "the same bytes"
    if found != _CONTENT:
        text = "nothing" if found is None else f"{len(found)} bytes, others than those written"
        return differs(text, expected, "the place does not keep what it is given: use another")
    return ok(expected, expected)


def conditional_write(scratch: ScratchStore) -> Result:
    """A write that must not replace a file: refused, and the file as it was."""
    expected = "a write that is refused because the file exists"
    fresh, again = scratch.create(f"{_FOLDER}/once.bin", _CONTENT), scratch.create(f"{_FOLDER}/once.bin", _MORE)
    kept = scratch.files.read(f"{_FOLDER}/once.bin")
    remedy = (
        "two runs at a time may overwrite each other's files; each is still whole. An S3 server with If-None-Match "
    )
    if not fresh or again or kept != _CONTENT:
        return differs("an existing file was overwritten", expected, remedy)
    return ok("refused, as it should be", expected)


def remove(scratch: ScratchStore) -> Result:
    """Everything in the scratch folder is removed."""
    for path in scratch.files.list(_FOLDER):
        scratch.files.remove(path)
    left = list(scratch.files.list(_FOLDER))
    if left:
        return failed(f"{', '.join(left)} is still there", "nothing left", "allow removal; delete the scratch folder")
    return ok("nothing left", "nothing left")


CHECKS = (
    Check("write", write),
    Check("list", listing, ("write",)),
    Check("read back", read_back, ("write",)),
    Check("conditional write", conditional_write, ("write",)),
    Check("remove", remove, ("write",)),
)
