"""What a message, a log or a stored file may show of texts that can hold secrets.

Of a URL that is scheme, host and database: never user, password or query. In other texts, whatever has the form of a
password, and the secrets of this process' environment, become `***`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
MIN_SECRET = 6
"""Characters of the shortest secret that is searched for in texts; shorter ones stand in any text."""
MAX_LINE = 4_000
"""Characters of a line that is shown whole; longer ones are cut, so that no text takes long."""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_SECRET_NAME = r"[\w.-]*(?:pass(?!i|f)|pwd|secret|token|api_?key|access_?key|private_?key|credential|signature)\w*"
_OF_ENVIRONMENT = re.compile(
    r"(?:.*(?:SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|API_?KEY|ACCESS_KEY|CREDENTIALS?).*|PGPASS)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"TOKENIZERS.*|.*(?:PATH|FILE|_ID|_URL|URI|DIR|MODE|EXPIRATION)", re.IGNORECASE)
"""Variables that hold where a secret is, or whose."""
_SCHEME = r"(?<![\w+.-])([A-Za-z][\w+.-]*:/{1,3})"
_FORMS = (
    # scheme://user:password@host, whatever stands in the password
    (re.compile(rf"{_SCHEME}[^\s:@/'\"\[\]]*:[^'\"\n]*@"), rf"\g<1>{MASK}@"),
    # the same, cut off before its host, or with the host forgotten
    (re.compile(rf"{_SCHEME}[^\s:@/'\"\[\]]+:(?!\d{{1,5}}(?:\D|$))[^\s'\"]+"), rf"\g<1>{MASK}"),
    # scheme://token@host
    (re.compile(rf"{_SCHEME}(?!\*{{3}}@)[^\s:@/'\"]+@"), rf"\g<1>{MASK}@"),
    # user:password@host without a scheme
    (re.compile(r"(?<![\w/:*])[\w.%+-]+:[^\s'\"@/:]+@(?=[\w\[])"), f"{MASK}@"),
    # the query of a URL
    (re.compile(r"(://[^\s'\"?]*\?)[^\s'\"]*"), rf"\g<1>{MASK}"),
    # password=…, 'secret': '…', --password …
    (re.compile(rf"(?<![\w.-])({_SECRET_NAME}=)(?!{re.escape(MASK)})[^&'\"\n,;)\]]+", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(rf"((['\"]){_SECRET_NAME}\2\s*:\s*)(['\"]).*?\3", re.IGNORECASE), rf"\g<1>\g<3>{MASK}\g<3>"),
)
_remembered: set[str] = set()


def has_raw_password(url: str) -> bool:
    """Whether a password in the URL holds a raw `@`, `/`, `?`, `#` or blank, so that its end is ambiguous.

    >>> [has_raw_password(f"postgresql://me:{word}@db/x") for word in ("a%40b", "a@b", "a/b", "a b")]
    [False, True, True, True]
    """
    found = _URL.fullmatch(url.strip())
    if found is None:
        return "@" in url and ":" in url.partition("@")[0]
    authority, rest = found["authority"], found["rest"]
    if authority.count("@") > 1 or re.search(r"\s", authority):
        return True
    # An @ behind a / is no part of the authority; in a path it is harmless, unless a password stands before it.
    return "@" in rest and "@" not in authority and ":" in authority


def shown_url(url: str) -> str:
    """Return what may be shown of a URL: scheme, host and database or path; the scheme alone where it cannot be read.

    >>> shown_url("postgresql+psycopg://me:secret@db:5432/optuna?sslpassword=x")
    'postgresql+psycopg://db/optuna'
    >>> shown_url("postgresql://me:p/q@db/optuna"), shown_url("s3://bucket/runs")
    ('postgresql://…', 's3://bucket/runs')
    """
    found = _URL.fullmatch(url.strip())
    if found is None:
        return redacted(url)
    if has_raw_password(url):
        return f"{found['scheme']}://…"
    authority = found["authority"].rpartition("@")[2]
    hosts = re.findall(r"(\[[^\]]*\]|[^,:]*)(:[^,]*)?(?:,|$)", authority)
    if "@" not in found["authority"] and any(port and not re.fullmatch(r":\d{1,5}", port) for _, port in hosts):
        return f"{found['scheme']}://…"  # a password, and the host forgotten
    names = ",".join(host for host, _ in hosts if host)
    return f"{found['scheme']}://{names}{re.split('[?#]', found['rest'])[0]}"


def has_secret_parameter(url: str) -> bool:
    """Whether a parameter of the URL's query has a name of secrets.

    >>> has_secret_parameter("s3://bucket/runs?secret=x"), has_secret_parameter("s3://bucket/runs?region=x")
    (True, False)
    """
    return re.search(rf"[?&;]{_SECRET_NAME}=", url, re.IGNORECASE) is not None


def remember_secret(*values: str) -> None:
    """Have `redacted` hide these values, and their percent-encoded forms, from now on in this process."""
    _remembered.update(value for value in values if len(value) >= MIN_SECRET)


def redacted(text: str) -> str:
    """Return the text with everything that has the form of a secret, or is one of this process, as `***`.

    >>> redacted("cannot reach 'postgresql://me:p@ss word@db/x?sslmode=off'")
    "cannot reach 'postgresql://***@db/x?***'"
    >>> redacted("no connection: host=db password=abc")
    'no connection: host=db password=***'
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    if len(text) > MAX_LINE:
        text = "\n".join(line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}…" for line in text.split("\n"))
    for pattern, replacement in _FORMS:
        text = pattern.sub(replacement, text)
    return text


def _secrets() -> Iterator[str]:
    """Yield the secrets of the environment and those that were remembered, in every form in which they are written."""
    own = {
        value
        for name, value in os.environ.items()
        if len(value) >= MIN_SECRET and _OF_ENVIRONMENT.fullmatch(name) and not _NO_SECRET.fullmatch(name)
    }
    for value in own | _remembered:
        yield from {value, quote(value), quote(value, safe=""), quote_plus(value), unquote(value), repr(value)[1:-1]}


_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def without_colours(text: str) -> str:
    """Return a text without its colour codes.

    >>> without_colours("\\x1b[36mray::step()\\x1b[39m")
    'ray::step()'
    """
    return _COLOUR.sub("", text)
