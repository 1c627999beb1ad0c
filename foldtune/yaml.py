"""YAML 1.2, read and written by one set of rules: safe values alone, and a key that is given twice is an error.

- Reading: text, decimal and hexadecimal numbers, true, false, null, lists and mappings. Dates, yes, no, on, off, and
  numbers with leading zeros, which are ids more often than numbers, are text.
- Writing: YAML 1.1 reads the same values, so that other programs and earlier versions can read the files.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import BaseResolver
from ruamel.yaml.scanner import Scanner

from foldtune.errors import InputError
from foldtune.wording import shortened

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"  # of `<<: *anchor`
_SCALARS = (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", "[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)", "-+0123456789"),
    ("float", r"[-+]?((0|[1-9][0-9_]*)(\.[0-9_]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", "<<", "<"),
)
"""Tag, pattern and first characters of plain scalars that are not text; the first pattern that matches counts."""
_PLAIN_TAGS = {_TAG + kind for kind in ("bool", "float", "int", "map", "null", "seq", "str")}
_AMBIGUOUS = re.compile("[-+.0-9].*|y|n|yes|no|on|off|=", re.IGNORECASE)
"""Text that YAML 1.1 may read as another type where it stands without quotes."""


MAX_CHARACTERS = 1_000_000
"""Length of a text in YAML."""
MAX_VALUES = 50_000
"""Values of a text, where each alias counts as what it names."""
MAX_DEPTH = 64
"""Lists and mappings inside one another."""
MAX_DIGITS = 200
"""Characters of an integer."""
_TOO_DEEP = f"lists and mappings more than {MAX_DEPTH} deep inside one another"


class _Refused(MarkedYAMLError):
    """What YAML allows and foldtune does not."""


class _Resolver(BaseResolver):
    def __init__(self, version: Any = None, loader: Any = None, loadumper: Any = None) -> None:
        super().__init__(loadumper=loader if loadumper is None else loadumper)

    @property
    def processing_version(self) -> tuple[int, int]:
        return (1, 2)


for _name, _pattern, _first in _SCALARS:
    _Resolver.add_implicit_resolver_base(_TAG + _name, re.compile(f"^(?:{_pattern})$"), list(_first))


class _Scanner(Scanner):
    """Refuses what is too deep where it opens: the parser's time grows with the square of the depth."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        super().fetch_flow_collection_start(TokenClass, to_push)
        self._check_depth()

    def add_indent(self, column: int) -> bool:
        added = super().add_indent(column)
        self._check_depth()
        return added

    def _check_depth(self) -> None:
        if len(self.flow_context) + len(self.indents) > MAX_DEPTH:
            raise _Refused(problem=_TOO_DEEP, problem_mark=self.reader.get_mark())


class _Composer(Composer):
    """Refuses too many values as soon as they are read."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._count = getattr(self, "_count", 0) + 1
        if self._count > MAX_VALUES:
            text = f"more than {MAX_VALUES:,} values, the most that can be read"
            raise _Refused(problem=text, problem_mark=self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Constructor(SafeConstructor):
    def construct_document(self, node: Node) -> Any:
        _Sizes().check(node)
        return super().construct_document(node)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                text = f"a key must be text, not {shortened(repr(key))}"
                raise _Refused(problem=text, problem_mark=key_node.start_mark)
            if key in seen:
                text = f"key {shortened(repr(key))} is given twice; keep one"
                raise _Refused(problem=text, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Constructor.yaml_constructors = {
    tag: make for tag, make in SafeConstructor.yaml_constructors.items() if tag is None or tag in _PLAIN_TAGS
}


class _Sizes:
    """Counts the values of a document before any is made, so that aliases of aliases cost nothing."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, node: Node) -> None:
        """Refuse a value that contains itself, too many values, and too deep ones."""
        count = self._count(node, 1)
        if count > MAX_VALUES:
            text = f"{count:,} values once its aliases (*name) are filled in" if count < 10**15 else "endless aliases"
            raise _Refused(problem=f"{text}; at most {MAX_VALUES:,} can be read", problem_mark=node.start_mark)

    def _count(self, node: Node, depth: int) -> int:
        if isinstance(node, ScalarNode):
            if node.tag == f"{_TAG}int" and len(node.value) > MAX_DIGITS:
                text = f"a number of {len(node.value)} digits; at most {MAX_DIGITS} can be read"
                raise _Refused(problem=text, problem_mark=node.start_mark)
            return 1
        if id(node) in self._open:
            text = "an alias (*name) stands inside the value that it names"
            raise _Refused(problem=text, problem_mark=node.start_mark)
        if depth > MAX_DEPTH:
            raise _Refused(problem=_TOO_DEEP, problem_mark=node.start_mark)
        if id(node) not in self._counts:
            self._open.add(id(node))
            inner = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
            self._counts[id(node)] = 1 + sum(self._count(each, depth + 1) for each in inner)
            self._open.remove(id(node))
        return self._counts[id(node)]


class _Representer(SafeRepresenter):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def _text(self, data: str) -> ScalarNode:
        return self.represent_scalar(f"{_TAG}str", data, style="'" if _AMBIGUOUS.fullmatch(data) else None)

    def _float(self, data: float) -> ScalarNode:
        node = self.represent_float(data)
        if "e" in node.value and "." not in node.value:
            node.value = node.value.replace("e", ".0e")  # YAML 1.1 reads 1e-05 as text
        return node


_Representer.add_representer(str, _Representer._text)
_Representer.add_representer(float, _Representer._float)


def read_yaml_text(path: Path) -> str:
    """Return the text of a YAML file or a pipe of the user's, of which no more is read than may be parsed.

    Raises:
        InputError: not UTF-8, or more than `MAX_CHARACTERS`.
        OSError: it cannot be read.
    """
    most = 4 * MAX_CHARACTERS  # bytes of so many characters
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise InputError(f"{path}: more than {MAX_CHARACTERS:,} characters, the most that can be read")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; save it as UTF-8") from None


def parse_yaml(text: str, source: str) -> Any:
    """Return the plain Python values of a YAML text.

    Args:
        source: name of the text in messages, such as a path.

    Raises:
        InputError: not YAML, a key given twice, a value that contains itself, or more than `MAX_CHARACTERS`,
            `MAX_VALUES`, `MAX_DEPTH` or `MAX_DIGITS` allow.

    >>> parse_yaml("{lr: 1e-3, id: 007, on: yes}", "example")
    {'lr': 0.001, 'id': '007', 'on': 'yes'}
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{source}: {len(text):,} characters; at most {MAX_CHARACTERS:,} can be read")
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Constructor = _Resolver, _Constructor
    yaml.Scanner, yaml.Composer = _Scanner, _Composer
    yaml.composer.warn_double_anchors = False
    try:
        return yaml.load(text)
    except YAMLError as error:
        raise InputError(f"{source}{_line(error)}: {_reason(error)}") from None
    except RecursionError:
        raise InputError(f"{source}: {_TOO_DEEP}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        # A tag whose value is none of its kind, as in `!!bool z`; a character that no text has.
        reason = shortened(" ".join(str(error).split()))
        raise InputError(f"{source}: a value is not of the kind of its tag (!!…): {reason}") from None


def dump_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping of plain values as YAML, in its own order.

    >>> dump_yaml({"lr": 1e-05, "cache": "off"})
    "lr: 1.0e-05\\ncache: 'off'\\n"
    """
    return dump_yaml_documents([value])


def dump_yaml_documents(values: Iterable[Mapping[str, Any]]) -> str:
    """Return mappings of plain values as YAML documents; several begin with `---` each."""
    documents = list(values)
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Representer = _Resolver, _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.explicit_start = len(documents) > 1
    stream = StringIO()
    yaml.dump_all(documents, stream)
    return stream.getvalue()


def _line(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _reason(error: YAMLError) -> str:
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    if isinstance(error, _Refused):
        return reason
    if "'\\t'" in reason:
        return "a tab; YAML is indented with spaces"
    if reason == "mapping values are not allowed here":
        return "a ': ' inside a value, or a line indented more than the key before it; quote the value, or indent alike"
    if reason == "but found another document":
        return "a second document ('---'); a configuration is one"
    return f"not YAML: {shortened(reason, 200)}"
