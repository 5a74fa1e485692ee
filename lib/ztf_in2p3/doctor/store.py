"""What a place for products must be able to do, tried in a scratch folder of its own."""

from __future__ import annotations

from ztf_in2p3.doctor.findings import Check, Result, differs, failed, ok
from ztf_in2p3.store.backends import Files

_NAME, _FOLDER = "files/hello.bin", "files"
_CONTENT = bytes(range(256)) * 40
_MORE = b"another content"
_REPLACED = "two runs at a time may replace each other's files, each whole; an S3 server with If-None-Match prevents it"
_REMEDY = "see that the folder or bucket exists and that its owner lets you do this"


def write(scratch: Files) -> Result:
    """Whether a file can be written."""
    scratch.write(_NAME, _CONTENT)
    return ok(f"{len(_CONTENT)} bytes", "a file written whole")


def listing(scratch: Files) -> Result:
    """Whether the file is listed at once, with its size."""
    sizes = {path: stat.size for path, stat in scratch.list(_FOLDER).items()}
    expected = f"{_NAME} of {len(_CONTENT)} bytes"
    if sizes != {_NAME: len(_CONTENT)}:
        text = ", ".join(f"{path} of {size} bytes" for path, size in sizes.items()) or "nothing"
        return differs(text, expected, "what was written is not listed at once: products would be made twice")
    return ok(expected, expected)


def read_back(scratch: Files) -> Result:
    """Whether the file that is read is the one that was written."""
    content = scratch.read(_NAME)
    expected = "the same bytes"
    if content != _CONTENT:
        text = "nothing" if content is None else f"{len(content)} bytes, others than those written"
        return differs(text, expected, "the place does not keep what it is given: use another")
    return ok(expected, expected)


def conditional_write(scratch: Files) -> Result:
    """A write that must not replace a file: refused, and the file as it was."""
    expected = "a write that is refused because the file exists"
    try:
        fresh, again = scratch.create(f"{_FOLDER}/once.bin", _CONTENT), scratch.create(f"{_FOLDER}/once.bin", _MORE)
    except OSError as error:
        return differs(f"conditional writes are not served: {error}", expected, _REPLACED)
    kept = scratch.read(f"{_FOLDER}/once.bin")
    if not fresh or again or kept != _CONTENT:
        return differs("an existing file was overwritten", expected, _REPLACED)
    return ok("refused, as it should be", expected)


def remove(scratch: Files) -> Result:
    """Everything in the scratch folder is removed."""
    clear(scratch)
    left = list(scratch.list(_FOLDER))
    if left:
        return failed(f"{', '.join(left)} is still there", "nothing left", "allow removal; delete the scratch folder")
    return ok("nothing left", "nothing left")


CHECKS: tuple[Check[Files], ...] = (
    Check("write", write, (), "a file written whole", _REMEDY),
    Check("list", listing, ("write",), "the file listed", _REMEDY),
    Check("read back", read_back, ("write",), "the same bytes", _REMEDY),
    Check("conditional write", conditional_write, ("write",), "a write that is refused", _REMEDY),
    Check("remove", remove, ("write",), "nothing left", _REMEDY),
)


def place_for_all(scratch: Files) -> str:
    """Write a file that workers elsewhere are to find; returns its path."""
    scratch.write(_NAME, _CONTENT)
    return _NAME


def clear(scratch: Files) -> None:
    """Remove what is in a scratch place."""
    for path in scratch.list(_FOLDER):
        scratch.remove(path)
