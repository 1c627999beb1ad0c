"""A metric that is a function of the user's own, in a Python file: read, run, and called with the task's arrays.

This is the one place where foldtune runs code that stands in a file of a run. Who calls `MetricFunction.unlocked` has
to know that the user wrote it: see `foldtune.search.runs.trusted_metrics`.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from foldtune.errors import DataError, InputError, MetricFailed, MetricUntrusted
from foldtune.trainers.arrays.types import Mode, Predictions, Scores, Targets
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.ascent import fit_by_ascent
from foldtune.wording import did_you_mean_file, shortened, unknown

MAX_BYTES = 1 << 20
"""Size of a file of metrics."""
_FORMS = "(targets, scores) or (targets, predictions), and labels where it needs their names"
_MODES = ("max", "min")
_NO_FUNCTIONS: tuple[tuple[Callable[[object], bool], str], ...] = (
    (inspect.isclass, "a class"),
    (inspect.iscoroutinefunction, "a coroutine function (async def)"),
    (inspect.isasyncgenfunction, "a generator function (async def with yield)"),
    (inspect.isgeneratorfunction, "a generator function (yield)"),
)
"""What can be called and never returns a number, with its name."""


@dataclass(frozen=True)
class MetricFunction:
    """A function ``(targets, scores)`` or ``(targets, predictions)``, by the names of its arguments.

    It gets arrays as `foldtune.trainers.arrays.types` lists them, and with an argument ``labels`` the names of the
    classes, in the order of the targets' numbers. More is better, unless the function has an attribute ``mode``
    that is "min".

    Attributes:
        digest: SHA-256 of the file.
        source: content of the file; None where it must not be run here.
    """

    name: str
    mode: Mode
    arguments: tuple[str, ...]
    file: str
    digest: str
    source: str | None = field(default=None, compare=False, repr=False)

    @classmethod
    def read(cls, path: Path, name: str) -> MetricFunction:
        """Read a file of the user's, run it, and look the function up.

        Raises:
            InputError: no such file or function, an error of the file's own, arguments of other names.
        """
        return cls.of_source(_read(path), path.name, name)

    @classmethod
    def of_source(cls, source: str, file: str, name: str) -> MetricFunction:
        """As `read`, of the content of a file."""
        module = _module(source, file)
        function = vars(module).get(name)
        if not callable(function):
            own = _own_functions(module)
            raise InputError(unknown(f"function of {file}:", name, own) if own else f"{file} has no function '{name}'")
        for is_other, kind in _NO_FUNCTIONS:
            if is_other(function):
                raise InputError(f"{file}: {name} is {kind}; a metric is a function that returns a number")
        mode = getattr(function, "mode", "max")
        if mode not in _MODES:
            raise InputError(f"{file}: {name}.mode is {shortened(repr(mode))}; valid: {', '.join(_MODES)}")
        return cls(name, cast("Mode", mode), _arguments(function, file, name), file, digest_of(source), source)

    @property
    def of_predictions(self) -> bool:
        """Whether predictions decide it, which post-processing changes."""
        return "predictions" in self.arguments

    @property
    def is_available(self) -> bool:
        """Whether it may be run here."""
        return self.source is not None

    def unlocked(self, source: str) -> MetricFunction:
        """The same function, which may be run. Raises InputError where the source is another one."""
        if digest_of(source) != self.digest:
            raise InputError(f"{self.file} is not the file that the metric {self.name} was made of")
        return replace(self, source=source)

    def locked(self) -> MetricFunction:
        """The same function, which is not to be run."""
        return replace(self, source=None)

    def value(self, task: Task, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        """Its value on N rows; NaN where it returns that.

        Raises:
            MetricFailed: it raised, or returned no number: its own error, with the line.
            MetricUntrusted: it must not be run here.
        """
        function = self._function()
        known = {"targets": targets, "scores": scores, "predictions": predictions, "labels": list(task.label_names)}
        given = {name: each.copy() if isinstance(each := known[name], np.ndarray) else each for name in self.arguments}
        try:
            result = function(**given)
        except (Exception, SystemExit) as error:
            raise MetricFailed(f"{self.file}:{self.name}{_described(error, self.file)}") from error
        value = _number(result)
        if value is None:
            if inspect.iscoroutine(result):
                result.close()  # or Python warns that it was never awaited
            found = shortened(" ".join(repr(result).split()))
            raise MetricFailed(f"{self.file}:{self.name}: returned {found}, which is no number")
        return value

    def fit(self, task: Task, scores: Scores, targets: Targets) -> dict[str, Any]:
        """The best post-processing that coordinate ascent finds on these rows; raises as `value`."""
        sign = 1.0 if self.mode == "max" else -1.0

        def worth(postprocess: Mapping[str, Any]) -> float:
            value = self.value(task, scores, task.predict(scores, postprocess), targets)
            return sign * value if math.isfinite(value) else -math.inf

        return fit_by_ascent(task, scores, targets, worth)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without the code; `from_dict` reads it back, locked."""
        stored = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "source"}
        return {"kind": "function", **stored, "arguments": list(self.arguments)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MetricFunction:
        """The metric of a stored mapping, locked. Raises DataError where it is none."""
        texts = [values.get(key) for key in ("name", "mode", "file", "digest")]
        arguments = values.get("arguments")
        listed = arguments if isinstance(arguments, list) else [None]
        if not all(isinstance(each, str) for each in (*texts, *listed)) or values["mode"] not in _MODES:
            raise DataError(["a metric without name, mode, arguments, file and digest"])
        name, mode, file, digest = map(str, texts)
        return cls(name, cast("Mode", mode), tuple(map(str, listed)), file, digest)

    def require_available(self) -> None:
        """Raise MetricUntrusted where it must not be run here."""
        if self.source is None:
            raise MetricUntrusted(
                f"the metric {self.name} is code ({self.file}), and no search of yours on this machine recorded it: "
                f"its stored values are shown, and nothing is computed by it. Read the run's metric.py, then give "
                f"--trust-metric; thresholds and compare take another metric by --metric"
            )

    def _function(self) -> Callable[..., object]:
        self.require_available()
        assert self.source is not None
        return cast("Callable[..., object]", vars(_module(self.source, self.file))[self.name])


def digest_of(source: str) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(source.encode()).hexdigest()


def _number(result: object) -> float | None:
    """Return a real number, or an array or tensor of no dimensions that holds one, as a float; None for others."""
    if result is np.ma.masked:  # the mean of nothing, whose item is 0.0
        return math.nan
    if isinstance(result, bool):
        return None
    if isinstance(result, Real):
        with suppress(OverflowError):
            return float(result)
    item = getattr(result, "item", None)
    return _number(item()) if callable(item) and getattr(result, "shape", None) == () else None


def _own_functions(module: ModuleType) -> list[str]:
    """Return the names of the functions that a file defines; what it imports, and classes, are none of its own."""
    return [
        name
        for name, each in vars(module).items()
        if inspect.isfunction(each) and each.__module__ == module.__name__ and not name.startswith("_")
    ]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MB; a file of metrics is short")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no Python file in UTF-8") from None
    except OSError as error:
        beside = [each.name for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise InputError(f"cannot read {path}: {error.strerror}{did_you_mean_file(path.name, beside)}") from None


@lru_cache(maxsize=16)
def _module(source: str, file: str) -> ModuleType:
    """Run a file once a process. It stands alone: what lies beside it cannot be imported, since no worker has it."""
    name = f"foldtune_metric_{digest_of(source)[:16]}"
    module = ModuleType(name)
    module.__file__ = file
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for tracebacks
    sys.modules[name] = module  # which dataclasses of the file look up
    try:
        exec(compile(source, file, "exec"), vars(module))
    except SyntaxError as error:
        raise InputError(f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        alone = (
            "; a file of metrics is run by itself, without those beside it" if isinstance(error, ImportError) else ""
        )
        raise InputError(f"{file}{_described(error, file)}{alone}") from error
    return module


def _described(error: BaseException, file: str) -> str:
    """Return ", line 7: ValueError: reason": the last line of the user's own file that an error went through."""
    lines, step = [], error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            lines.append(step.tb_lineno)
        step = step.tb_next
    where = f", line {lines[-1]}" if lines else ""
    return f"{where}: {type(error).__name__}: {shortened(' '.join(str(error).split()), 300)}".removesuffix(": ")


def _arguments(function: Callable[..., object], file: str, name: str) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise InputError(f"{file}: {name} is no Python function") from None
    needed = [
        key
        for key, each in parameters.items()
        if each.default is inspect.Parameter.empty or key in ("targets", "scores", "predictions", "labels")
        if each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    by_name = all(parameters[key].kind is not inspect.Parameter.POSITIONAL_ONLY for key in needed)
    if not by_name or set(needed) - {"labels"} not in ({"targets", "scores"}, {"targets", "predictions"}):
        raise InputError(f"{file}: {name}({', '.join(parameters)}): its arguments must be {_FORMS}")
    return tuple(needed)
