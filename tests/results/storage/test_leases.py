"""The lock of a run in an object store: one holder at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from foldtune.errors import RunBusy
from foldtune.results.storage.files import names_in, read_json, write_json
from foldtune.results.storage.leases import hold, is_held
from foldtune.results.storage.paths import StorePath

pytestmark = pytest.mark.parametrize("storage", ["memory", "s3"], indirect=True)

ELSEWHERE = {"owner": "other", "host": "node7", "pid": 4321, "machine": "another boot"}


def lease(folder: StorePath, number: int) -> StorePath:
    return folder / f"{number:06d}.json"


def test_one_holder_at_a_time(storage: StorePath) -> None:
    folder = storage / ".lock"
    assert not is_held(folder)
    for number in (1, 2):
        with hold(folder, "run 'skin'"):
            assert is_held(folder)
            with (
                pytest.raises(RunBusy, match=r"process \d+ of .* is working on run 'skin': wait"),
                hold(folder, "run 'skin'"),
            ):
                pass
        assert not is_held(folder)
        assert names_in(folder) == [lease(folder, number).name], "earlier ones go"


def test_of_several_that_start_together_one_holds(storage: StorePath) -> None:
    folder = storage / ".lock"
    together = threading.Barrier(6)
    with ExitStack() as held, ThreadPoolExecutor(6) as pool:

        def start() -> bool:
            together.wait()
            try:
                held.enter_context(hold(folder, "run 'skin'"))
            except RunBusy:
                return False
            return True

        assert sum(pool.map(lambda _: start(), range(6))) == 1


def test_a_lease_of_another_machine_is_respected_while_it_is_renewed(storage: StorePath) -> None:
    folder = storage / ".lock"
    write_json(lease(folder, 3), ELSEWHERE)
    assert is_held(folder)
    with (
        pytest.raises(RunBusy, match=r"process 4321 of node7 .* 60 s after the last renewal, which was \d s ago"),
        hold(folder, "it"),
    ):
        pass
    with hold(folder, "it", lease_s=0.0):  # it is silent for longer than that
        assert names_in(folder) == [lease(folder, 4).name]
        assert is_held(folder)


def test_a_holder_renews_its_lease_and_stops_once_another_took_over(storage: StorePath) -> None:
    if str(storage).startswith("memory"):
        pytest.skip("fsspec's memory is not safe among threads: it shows half-written objects")
    folder = storage / ".lock"

    def work() -> None:
        with hold(folder, "it", renewal_s=0.02):
            while not (read_json(lease(folder, 1)) or {}).get("renewed"):
                pass
            write_json(lease(folder, 2), ELSEWHERE)
            threading.Event().wait(30)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert is_held(folder), "by the other one"
