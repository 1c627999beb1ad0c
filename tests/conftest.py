"""Environment of the whole suite, set before any library reads it."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=300, deadline=None)
settings.load_profile("quick")

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and more threads of tiny models only wait
os.environ.setdefault("RAY_worker_niceness", "0")  # the test beside is not more urgent than a worker

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C and so would every command that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="foldtune-tests-")  # the user's own is left alone
for _variable in ("HF_HOME", "TORCH_HOME"):  # pretrained weights of the user's caches would change all numbers
    os.environ[_variable] = os.environ["XDG_STATE_HOME"]
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real datasets beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.hookimpl(tryfirst=True)  # before marks select
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the object store's server is slow; its twin on a folder, and in memory, is not."""
    for item in items:
        called = getattr(item, "callspec", None)
        given = [] if called is None else [value for value in called.params.values() if isinstance(value, str)]
        if "s3" in (*getattr(item, "fixturenames", ()), *given):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Set what is loaded by now, millions of objects, apart from Python's garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let Python clear up at its end as ever."""
    gc.unfreeze()


class S3Server:
    """A real S3 server on a local port, in a thread of this process; its content outlasts outages."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._make = ThreadedMotoServer
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        """Return the endpoint's URL."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve again, at the same port."""
        self._server = self._make(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server with the bucket `foldtune`, the endpoint of s3:// in this process and its children."""
    import fsspec

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = S3Server()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        environment.setenv("AWS_MAX_ATTEMPTS", "1")  # what is tried again, foldtune tries again
        fsspec.filesystem("s3").mkdir("foldtune")
        yield server
    server.stop()
