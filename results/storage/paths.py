"""Paths of runs: folders, or URLs of object stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union
from urllib.parse import urlsplit

from foldtune.errors import StorageInvalid
from foldtune.redaction import has_raw_password, has_secret_parameter, redacted, shown_url
from foldtune.wording import close_matches, shortened

if TYPE_CHECKING:
    from upath import UPath

StorePath: TypeAlias = Union[Path, "UPath"]
"""A Path for a local or mounted folder; a UPath for every other file system of fsspec."""

_EXAMPLE = "give a folder, or a URL such as s3://bucket/prefix"
_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Protocol → extra of foldtune that installs its package."""


def as_path(place: str | StorePath) -> StorePath:
    """Return the path of a folder or of any fsspec URL; a URL's options come from fsspec's configuration.

    Raises StorageInvalid for an unknown protocol, a missing package, or credentials in the URL.

    >>> as_path("runs/skin").as_posix(), as_path("file:///data/runs").as_posix()
    ('runs/skin', '/data/runs')
    """
    if not isinstance(place, str):
        return place
    if "\0" in place:
        raise StorageInvalid(f"{shortened(repr(place))}: no path or name holds a NUL")
    protocol, separator, rest = place.partition("://")
    if not separator:
        return Path(place)
    if protocol in ("file", "local"):
        return Path(rest)
    _check_url(place, protocol)
    from upath import UPath  # optional at run time and slow to import, while most runs are folders

    # Other processes write to the same prefix: a cached listing would hide that.
    return UPath(place, use_listings_cache=False)


def address(path: StorePath) -> str:
    """Return the absolute path or URL, which ``as_path`` resolves alike in every process with access to it."""
    return str(path.absolute())


def _check_url(url: str, protocol: str) -> None:
    import fsspec

    shown = shown_url(url)
    if has_raw_password(url) or "@" in urlsplit(url).netloc or has_secret_parameter(url):
        raise StorageInvalid(f"{shown!r}: leave the credentials out, and give them in the environment")
    if protocol not in fsspec.available_protocols():
        near = close_matches(protocol, fsspec.available_protocols(), cutoff=0.5)
        meant = f"; did you mean {near[0]}://…?" if near else ";"
        raise StorageInvalid(f"{shown!r}: there is no protocol {protocol!r}{meant} {_EXAMPLE}")
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        how = f"pip install 'foldtune[{extra}]'" if extra else redacted(str(error))
        raise StorageInvalid(f"{shown!r}: the package for {protocol}:// is not installed: {how}") from None
