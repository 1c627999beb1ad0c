"""Where a run lies: in a folder, or under the URL of an object store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union
from urllib.parse import urlsplit

from foldtune.errors import StorageInvalid, close_matches

if TYPE_CHECKING:
    from upath import UPath

StorePath: TypeAlias = Union[Path, "UPath"]
"""A folder of this machine, or one that it mounts, is a Path; everything else that fsspec reaches is a UPath."""

_EXAMPLE = "give a folder, or a URL such as s3://bucket/prefix"
_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Our own extra that brings the package of a protocol."""


def as_path(place: str | StorePath) -> StorePath:
    """Return the path of a folder's name, or of any fsspec URL; the options of a URL come from fsspec's configuration.

    Raises StorageInvalid: no such protocol, a package that is not installed, or credentials in the URL.
    """
    if not isinstance(place, str):
        return place
    protocol, separator, rest = place.partition("://")
    if not separator:
        return Path(place)
    if protocol in ("file", "local"):
        return Path(rest)
    _check_url(place, protocol)
    from upath import UPath  # here, since fsspec takes a moment to import and most runs lie in a folder

    # Others write to the same place: a listing that was kept would hide it.
    return UPath(place, use_listings_cache=False)


def address(path: StorePath) -> str:
    """Return the text from which ``as_path`` makes the same path in any process of any machine that sees it."""
    return str(path.absolute())


def _check_url(url: str, protocol: str) -> None:
    import fsspec

    if protocol not in fsspec.available_protocols():
        near = close_matches(protocol, fsspec.available_protocols(), cutoff=0.5)
        meant = f"; did you mean {near[0]}://…?" if near else ";"
        raise StorageInvalid(f"{url!r}: there is no protocol {protocol!r}{meant} {_EXAMPLE}")
    if "@" in urlsplit(url).netloc:
        shown = f"{protocol}://…@{urlsplit(url).netloc.rpartition('@')[2]}{urlsplit(url).path}"
        raise StorageInvalid(f"{shown!r}: leave the credentials out, and give them in the environment")
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        how = f"pip install 'foldtune[{extra}]'" if extra else str(error)
        raise StorageInvalid(f"{url!r}: the package for {protocol}:// is not installed: {how}") from None
