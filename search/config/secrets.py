"""Passwords in URLs: taken from the environment when they are used, never written where others read."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from foldtune.errors import InputError

_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]*)@")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
MASK = "***"


def has_password(url: str) -> bool:
    """Whether the URL holds a password in the clear; one of `${NAME}` alone is none.

    >>> has_password("postgresql://me:secret@db/optuna"), has_password("postgresql://me:${PGPASSWORD}@db/optuna")
    (True, False)
    """
    found = _PASSWORD.search(url)
    return found is not None and bool(_VARIABLE.sub("", found[2])) and found[2] != MASK


def masked(url: str) -> str:
    """The URL without its password, for files and messages.

    >>> masked("postgresql://me:secret@db/optuna")
    'postgresql://me:***@db/optuna'
    """
    return _PASSWORD.sub(rf"\1:{MASK}@", url) if has_password(url) else url


def expanded(url: str, key: str) -> str:
    """The URL with each `${NAME}` replaced by that variable, quoted as a part of a URL.

    Args:
        url: URL as in the configuration.
        key: key of the configuration, for messages.

    Raises:
        InputError: a variable is not set, or the password was masked.
    """
    missing = sorted({name for name in _VARIABLE.findall(url) if name not in os.environ})
    if missing:
        raise InputError(f"{key}: the environment does not set {', '.join(missing)}, which {url!r} uses")
    found = _PASSWORD.search(url)
    if found is not None and found[2] == MASK:
        raise InputError(f"{key}: the password in {url!r} is not stored: give it again, or write ${{PGPASSWORD}}")
    return _VARIABLE.sub(lambda match: quote(os.environ[match[1]], safe=""), url)
