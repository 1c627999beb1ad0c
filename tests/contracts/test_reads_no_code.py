"""Nothing that foldtune reads back can run code: the source has no call that could."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("search", "trainers", "spaces", "results", "cluster")
MODULES = sorted(path for package in (*PACKAGES, "foldtune") for path in (ROOT / package).rglob("*.py"))
PICKLES = {"load", "loads", "Unpickler"}
READERS = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
ALLOWED = {
    "search/workers/trainable.py": {"pickle.loads"},  # from its own driver through Ray, never from a file
    "trainers/user_metrics/function.py": {"exec"},  # the user's own metric: tests/search/runs/test_trusted_metrics.py
}
"""Calls that are right where they stand."""


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def given(node: ast.Call, name: str) -> str | None:
    """Return the source of a keyword's value."""
    return next((ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == name), None)


def dangers(source: str, path: str) -> Iterator[str]:
    """Return the calls that execute their input."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        module, _, function = name.rpartition(".")
        unsafe = (
            name in ("eval", "exec", "np.fromfile")
            or (module.rpartition(".")[2] in READERS and function in PICKLES)
            or (name == "np.load" and given(node, "allow_pickle") != "False")
            or (name == "torch.load" and given(node, "weights_only") != "True")
            or (name == "pd.read_pickle")
            or (name in ("yaml.load", "yaml.load_all") and path != "foldtune/yaml.py")
            or (name == "YAML" and given(node, "typ") != "'safe'")
            or (name in ("yaml.unsafe_load", "yaml.full_load"))
        )
        if unsafe and name not in ALLOWED.get(path, set()):
            yield f"{path}:{node.lineno}: {ast.unparse(node)[:100]}"


def test_the_source_has_no_reader_that_runs_code() -> None:
    found = [
        danger
        for path in MODULES
        for danger in dangers(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
    assert found == []
    assert len(MODULES) > 100


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(f)",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "yaml.load(t, Loader=yaml.Loader)",
        "yaml.unsafe_load(t)",
        "YAML()",
        "YAML(typ='unsafe')",
        "joblib.load(p)",
        "eval(t)",
    ],
)
def test_each_such_reader_is_detected(line: str) -> None:
    assert list(dangers(line, "results/x.py"))


def test_yaml_is_constructed_by_the_safe_constructor() -> None:
    from ruamel.yaml.constructor import SafeConstructor

    from foldtune.yaml import _Constructor

    assert issubclass(_Constructor, SafeConstructor)
    assert _Constructor.yaml_multi_constructors == SafeConstructor.yaml_multi_constructors == {}
