"""Inputs of the fuzz tests: constructed and found ones, and what hypothesis makes of them.

`FOLDTUNE_FUZZ_EXAMPLES` and `FOLDTUNE_FUZZ_COMMANDS` are the numbers of inputs of each reader and each command.
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

EXAMPLES = int(os.environ.get("FOLDTUNE_FUZZ_EXAMPLES", "10000"))
COMMANDS = int(os.environ.get("FOLDTUNE_FUZZ_COMMANDS", "300"))
TOKENS = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\x1b[2J", b"\r", b"\n", b"\t", b" ", b"[", b"]", b"{", b"}", b",", b";", b":",
    b"- ", b"&a ", b"*a", b"<<: ", b"!!python/object:os.system ", b"!!binary ", b"---\n", b"'", b'"', b"|", b"?", b"#",
    b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"0x" + b"f" * 300, b"-1", b"1.5", b"~nobody/x",
    b"../", b"[/b]", "é".encode(), "\u202e".encode(), b"\xed\xa0\x80", b"2024-01-01", b"12:30:45", b"0o17", b"1_000",
)  # fmt: skip
"""Pieces that formats, numbers, terminals and file systems treat in a way of their own."""


def many(examples: int) -> settings:
    """Settings of a property that is tried so often; failures are printed, not stored."""
    return settings(
        max_examples=examples, deadline=None, database=None, print_blob=True, suppress_health_check=list(HealthCheck)
    )


def edited(original: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with one to four pieces cut out, doubled or replaced."""
    piece = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))
    edit = st.tuples(st.floats(0, 1), st.integers(0, 40), piece, st.booleans())
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: _apply(original, edits))


def _apply(content: bytes, edits: list[tuple[float, int, bytes, bool]]) -> bytes:
    for share, length, piece, doubled in edits:
        at = int(share * len(content))
        inserted = content[at : at + length] * 2 if doubled else piece
        content = content[:at] + inserted + content[at + length :]
    return content


def texts(*corpus: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, rows of tokens, and edits of known inputs."""
    rows = st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join)
    return st.one_of(st.binary(max_size=200), rows, *(edited(each) for each in corpus))


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.just(10**400), st.just("../x")
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


def changed_json(original: Any) -> st.SearchStrategy[bytes]:
    """JSON in which up to three values, wherever they stand, are others or gone."""
    places = list(_places(original))
    change = st.tuples(st.sampled_from(places), st.one_of(st.just(...), VALUES))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _changed(original, changes))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from _places(each, (*path, key))


def _changed(original: Any, changes: list[tuple[tuple[Any, ...], Any]]) -> bytes:
    root = {"": json.loads(json.dumps(original))}
    for path, value in changes:
        node, full = root, ("", *path)
        try:
            for key in full[:-1]:
                node = node[key]
            if value is ... and len(path):
                del node[full[-1]]
            elif value is not ...:
                node[full[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return json.dumps(root[""]).encode(errors="surrogatepass")


def with_value(original: bytes, path: tuple[Any, ...], value: Any) -> bytes:
    """JSON with another value at a place."""
    return _changed(json.loads(original), [(path, value)])


def image(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """The bytes of a small image file."""
    buffer = io.BytesIO()
    Image.effect_noise((24, 18), 40).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """A JPEG with that metadata."""
    marked = b"Exif\0\0" + exif
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(marked) + 2) + marked + jpeg[2:]


BAD_FRACTION = (
    b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<HHII", 0x11A, 10, 1, 38)
    + b"\0\0\0\0" + struct.pack("<ii", -1, 0)
)  # fmt: skip
IMAGES = (
    image("PNG"), image("PNG", "I;16"), image("PNG", "RGBA"), image("PNG", "P"), image("JPEG"), image("GIF"),
    image("JPEG", progressive=True), image("TIFF"), image("TIFF", "F"), image("TIFF", compression="tiff_lzw"),
    image("BMP"), image("PPM"), image("WEBP"), with_exif(image("JPEG"), BAD_FRACTION), b"", b"\x89PNG\r\n\x1a\n",
    b"P5 99999999 99999999 65535 ", b"P6\n2 2\n" + b"9" * 400 + b"\n", b"GIF89a\xff\xff\xff\xff\0\0\0",
    b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n", b"BM" + b"\xff" * 60,
)  # fmt: skip

CONFIG = b"""name: tiny
task: multiclass
data: {train: train.csv, test: test.csv, images: images, target: label, image_size: 32, cache: cache}
space:
  model_name: test_resnet
  lr: {loguniform: [1.0e-3, 1.0e-2]}
  loss: {choice: {cross_entropy: {label_smoothing: {uniform: [0, 0.1]}}, focal: {}}}
search: {metric: accuracy, num_samples: 2, max_epochs: 1, startup_trials: 2, seed: 0}
resources: {cpus_per_trial: 1, gpus_per_trial: 0}
ensemble: {top: 1, folds: 2, voting: soft, race: false}
"""
CONFIGS = (
    CONFIG, b"", b"\xff\xfe", b"- a\n", b"{}", b"a: [", b"name: !!python/object/apply:os.system ['true']\n", b"\x00",
    b"name: " + b"9" * 400 + b"\n", b"name: tiny\nname: tiny\n", b"&a [*a]", b"? {a: b}\n: c\n", b"data: ~\nspace: ~\n",
    CONFIG.replace(b"name: tiny", b"name: [/b]"),
    CONFIG.replace(b"images: images", b"images: ~nobody-of-this-name/images"), CONFIG.replace(b"32", b"9" * 400),
    CONFIG.replace(b"lr:", b"1:"), CONFIG.replace(b"seed: 0", b"seed: .nan"), CONFIG.replace(b"multiclass", b"[a]"),
    CONFIG.replace(b"task: multiclass", b"targets: {label: multiclass, other: {task: [x], data: 3}}"),
    CONFIG.replace(b"name: tiny", "name: \u202eynit".encode()), CONFIG.replace(b"tiny", b"!!timestamp 2024-13-45"),
    CONFIG.replace(b"0.1", b"2001-01-01"), b"[" * 5_000, b"{a: " * 5_000, b"- " * 5_000,
    CONFIG + b"x: !!omap [{a: 1}]\n", CONFIG + b"x: !!set {a}\n",
    CONFIG + b"x: !!pairs [a: 1]\n", b"a: &a {b: 1}\n" + b"c: {<<: [*a, *a]}\n",
)  # fmt: skip
OVERRIDES = (
    "", "=", "a", "data=1", "data.image_size=[", "search.seed=" + "9" * 400, "a.b.c=1", "data..x=1", "x=!!set {a}",
    "name=[/b]", "name=\x1b[2J", "data.train=\x00", "name=\udcff", "space.lr={loguniform: [1, 0]}", "space=&a [*a]",
    ".=1", "targets={}", "search.num_samples=1e400", "data.images=~nobody-of-this-name",
)  # fmt: skip
TABLE = b"image,label,patient\na.png,x,1\nb.png,y,1\nc.png,x,2\nd.png,y,2\n"
TABLES = (
    TABLE, b"", b"\n", b"image\n", b"image,label\n", b"image,label\na.png,x,\n", b"image;label\na.png;x\n",
    b"\xff\xfe\0", b"image,label\n\x00,x\n", b'image,label\n"a.png,x\n', b"image,image\na,b\n", b"label,label\nx,x\n",
    b"image,label\r\r\n", b"\xef\xbb\xbf" + TABLE, TABLE + b"a.png,x,1\n",
    *(TABLE.replace(b"x", label) for label in (b"[/]", b"\x1b[31m", b"9" * 400, "\u202ex".encode())),
    *(TABLE.replace(b"a.png", name) for name in (b"../../a.png", b"~nobody/a.png", b"/etc/passwd", b"a" * 300)),
)  # fmt: skip
GATES = (
    b"- macro_f1 > 0.6\n- recall of mel >= 0.7\n- {metric: precision, class: bcc, above: 0.5}\n", b"", b"[]", b"- \n",
    b"macro_f1 > 0.6", b"- macro_f1 > " + b"9" * 400 + b"\n", b"- {metric: [a], above: {}}\n", b"- {above: .nan}\n",
    b"- macro_f1 > nan\n", b"- {1: 2}\n", b"- [a, b]\n", b"- {metric: macro_f1, above: 0x" + b"f" * 300 + b"}\n",
)  # fmt: skip
JSONS = (
    b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"a": NaN}', b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1e999}',
    b'"\\ud800"', b"[" * 5_000, b'{"a":' * 5_000, b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b'{"task": "multiclass"}',
)  # fmt: skip
ENVIRONMENT = (
    ("COLUMNS", "-1"), ("COLUMNS", "0"), ("COLUMNS", "x"), ("COLUMNS", "9" * 30), ("LINES", "x"), ("HOME", ""),
    ("HOME", "/nonexistent"), ("HOME", "a\x1b[b"), ("XDG_CACHE_HOME", "~nobody/x"), ("FOLDTUNE_CACHE", "/dev/null/x"),
    ("FOLDTUNE_CACHE", "[/b]"), ("TERM", "dumb"), ("TERM", ""), ("NO_COLOR", "1"), ("FORCE_COLOR", "1"), ("LANG", "C"),
    ("PGPASSWORD", "[/b]"), ("RAY_AUTH_TOKEN_PATH", "/dev/null/x"), ("TTY_COMPATIBLE", "1"), ("TZ", "nowhere/x"),
)  # fmt: skip
