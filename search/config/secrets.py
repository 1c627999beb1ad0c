"""Passwords in URLs: taken from the environment when they are used, never written where others read."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

from foldtune.errors import InputError
from foldtune.redaction import MASK, has_raw_password, remember_secret, shown_url

_USER = re.compile(r"(?<=://)(?P<user>[^:/?#@\s]*):(?P<password>[^@/?#\s]*)@")
_QUERY = re.compile(r"(?P<key>[?&;][^=&;#]*=)(?P<value>[^&;#]*)")
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key|credential|sig", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
RAW_PASSWORD = (
    "a password with '@', '/', '?', '#' or a blank in it has no clear end in a URL: percent-encode it "
    "(%40, %2F, %3F, %23, %20), or use an environment variable (${PGPASSWORD})"
)


def has_password(url: str) -> bool:
    """Whether the URL holds a password in the clear, also as a parameter; one of `${NAME}` alone is none.

    >>> has_password("postgresql://me:secret@db/optuna"), has_password("postgresql://me:${PGPASSWORD}@db/optuna")
    (True, False)
    >>> has_password("postgresql://me@db/optuna?sslpassword=secret")
    True
    """
    return has_raw_password(url) or any(_is_clear(value) for value in _secret_values(url))


def masked(url: str) -> str:
    """The URL without its password and the values of its parameters, for stored files.

    >>> masked("postgresql://me:secret@db/optuna?sslpassword=x")
    'postgresql://me:***@db/optuna?sslpassword=***'
    """
    if has_raw_password(url):
        return shown_url(url)
    url = _USER.sub(lambda found: f"{found['user']}:{_hidden(found['password'])}@", url)
    head, question, query = url.partition("?")
    if not question or (head.lower().startswith("sqlite") and not has_password(url)):
        return url
    return head + _QUERY.sub(lambda found: found["key"] + _hidden(found["value"]), f"?{query}")


def check_url(url: str, key: str) -> None:
    """Refuse a URL whose password has no clear end; the message does not show it.

    Raises:
        InputError: such a URL.
    """
    if has_raw_password(url):
        raise InputError(f"{key}: {RAW_PASSWORD}")


def expanded(url: str, key: str) -> str:
    """The URL with each `${NAME}` replaced by that variable, quoted as a part of a URL.

    Args:
        key: key of the configuration, for messages.

    Raises:
        InputError: a variable is not set, or the password was masked.
    """
    check_url(url, key)
    missing = sorted({name for name in _VARIABLE.findall(url) if name not in os.environ})
    if missing:
        raise InputError(f"{key}: the environment does not set {', '.join(missing)}, which {shown_url(url)!r} uses")
    if MASK in url:
        raise InputError(f"{key}: the password of {shown_url(url)!r} is not stored: give it again, or ${{PGPASSWORD}}")
    result = _VARIABLE.sub(lambda match: quote(os.environ[match[1]], safe=""), url)
    for secret in (*_secret_values(result), *(os.environ[name] for name in _VARIABLE.findall(url))):
        remember_secret(secret, unquote(secret))
    return result


def _secret_values(url: str) -> list[str]:
    """Return the password of a URL and the values of its secret parameters, as they are written."""
    found = _USER.search(url)
    query = f"?{url.partition('?')[2]}"
    parameters = [each["value"] for each in _QUERY.finditer(query) if _SECRET_KEY.search(each["key"])]
    return [value for value in (*([found["password"]] if found else []), *parameters) if value]


def _is_clear(value: str) -> bool:
    return bool(_VARIABLE.sub("", value)) and value != MASK


def _hidden(value: str) -> str:
    return MASK if _is_clear(value) else value
