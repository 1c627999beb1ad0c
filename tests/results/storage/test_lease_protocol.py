"""The lock's protocol with its steps in every order: machines whose clocks differ, slow askers, killed processes."""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from foldtune.errors import RunBusy
from foldtune.results.storage import leases
from foldtune.results.storage.backend import FileState

LEASE_S = 60.0
ACTORS = ("a", "b", "c")
PATIENCE_S = 10.0


class Path:
    """A path in the storage under test."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __truediv__(self, name: str) -> Path:
        return Path(name)

    @property
    def parent(self) -> Path:
        return Path()


class Killed(BaseException):
    """The process of this thread is killed."""


class Storage:
    """Objects with the dates of the storage's own clock; each operation waits until its process may go on."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, float]] = {}
        self.clock = 1_000.0
        self.processes: dict[threading.Thread, Process] = {}

    def step(self) -> None:
        process = self.processes.get(threading.current_thread())
        if process is not None:
            process.pause()

    def names(self, path: Path) -> list[str]:
        self.step()
        return sorted(self.files)

    def state(self, path: Path) -> FileState | None:
        self.step()
        found = self.files.get(path.name)
        return None if found is None else FileState(found[1], len(found[0]), found[1])

    def read(self, path: Path) -> Any:
        self.step()
        found = self.files.get(path.name)
        return None if found is None else json.loads(found[0])

    def write(self, path: Path, data: bytes) -> None:
        self.step()
        self.files[path.name] = (data, self.clock)

    def create(self, path: Path, data: bytes) -> bool:
        self.step()
        if path.name in self.files:
            return False
        self.files[path.name] = (data, self.clock)
        return True

    def remove(self, path: Path) -> int:
        self.step()
        return len(self.files.pop(path.name, (b"", 0.0))[0])


class Process:
    """A thread that does one operation of the storage each time it is told to go on."""

    def __init__(self, storage: Storage, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self.ended = self.killed = False
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        storage.processes[self._thread] = self
        self._thread.start()
        self._await()

    def _run(self, work: Callable[[], Any]) -> None:
        with suppress(Killed):
            try:
                self.result = work()
            except RunBusy as error:
                self.result = error
        self.ended = True
        self._waits.release()

    def pause(self) -> None:
        self._waits.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def go_on(self) -> None:
        self._go.release()
        self._await()

    def kill(self) -> None:
        self.killed = True
        self.go_on()

    def _await(self) -> None:
        assert self._waits.acquire(timeout=PATIENCE_S)


def use(storage: Storage, patch: pytest.MonkeyPatch, offsets: Sequence[float] = (0.0,)) -> None:
    """Put the leases there, on machines whose clocks differ by `offsets`."""
    for name, own in (
        ("names_in", storage.names),
        ("file_state", storage.state),
        ("read_json", storage.read),
        ("remove_file", storage.remove),
        ("write_bytes_atomic", storage.write),
    ):
        patch.setattr(leases, name, own)

    class Backend:
        def __init__(self, path: Path) -> None:
            self.path = path

        def names(self) -> list[str]:
            return storage.names(self.path)

        def write_new(self, data: bytes) -> bool:
            return storage.create(self.path, data)

        def write(self, save: Any) -> None:
            file = io.BytesIO()
            save(file)
            storage.write(self.path, file.getvalue())

    patch.setattr(leases, "ObjectBackend", Backend)
    clock = iter(range(10**9))
    patch.setattr(leases.time, "time", lambda: storage.clock + offsets[next(clock) % len(offsets)])
    patch.setattr(leases, "_machine", lambda: None)  # no process of another machine can be seen to have ended


class LockMachine(RuleBasedStateMachine):
    """Processes of three machines that ask for the lock, renew, release, are suspended or killed."""

    @initialize(offsets=st.tuples(*[st.sampled_from((-300.0, 0.0, 300.0)) for _ in ACTORS]))
    def start(self, offsets: tuple[float, ...]) -> None:
        self.storage = storage = Storage()
        self.asking: dict[str, Process] = {}
        self.held: dict[str, tuple[Any, Any]] = {}
        self.renewed: dict[str, float] = {}
        self.lapsed: set[str] = set()
        self.patch = pytest.MonkeyPatch()
        use(storage, self.patch, offsets)

    def teardown(self) -> None:
        for process in getattr(self, "asking", {}).values():
            process.kill()
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(actor=st.sampled_from(ACTORS))
    def ask(self, actor: str) -> None:
        if actor not in self.asking and actor not in self.held:
            folder: Any = Path()
            self.asking[actor] = Process(self.storage, lambda: leases.acquire(folder, "it", LEASE_S))

    @precondition(lambda self: self.asking)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        actor = data.draw(st.sampled_from(sorted(self.asking)))
        process = self.asking[actor]
        for _ in range(steps):
            if process.ended:
                break
            process.go_on()
        if process.ended:
            del self.asking[actor]
            if not isinstance(process.result, RunBusy):
                self._taken(actor, process.result)

    def _taken(self, actor: str, lease: tuple[Any, Any]) -> None:
        others = [each for each in self.held if each not in self.lapsed]
        assert not others, f"{actor} took the lock while {others} held it"
        self.held[actor] = lease
        # Its lease is as old as its creation, which may lie before this moment.
        self.renewed[actor] = self.storage.files.get(lease[0].name, (b"", self.storage.clock))[1]
        self.lapsed.discard(actor)
        self._note_lapses()

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def die_while_asking(self, data: st.DataObject) -> None:
        self.asking.pop(data.draw(st.sampled_from(sorted(self.asking)))).kill()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(sorted(self.held)))
        path, mine = self.held[actor]
        later = [name for name in self.storage.files if name > path.name and name.endswith(".json")]
        if leases.renew(path, mine):
            assert not later, f"{actor} renewed a lock that was taken over"
            self.renewed[actor] = self.storage.clock
        else:
            assert actor in self.lapsed, f"{actor} lost a lock that it kept renewing"
            del self.held[actor]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), killed=st.booleans())
    def end(self, data: st.DataObject, killed: bool) -> None:
        actor = data.draw(st.sampled_from(sorted(self.held)))
        path, mine = self.held.pop(actor)
        if not killed:
            leases.release(path, mine)

    @rule(seconds=st.sampled_from((1.0, 10.0, 30.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.storage.clock += seconds
        self._note_lapses()

    def _note_lapses(self) -> None:
        self.lapsed |= {each for each in self.held if self.storage.clock - self.renewed[each] >= LEASE_S}

    @invariant()
    def one_holds(self) -> None:
        assert len([each for each in getattr(self, "held", {}) if each not in self.lapsed]) <= 1


LockMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLock = LockMachine.TestCase


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_who_asks_for_a_held_lock_and_dies_does_not_stop_its_holder(storage: Any) -> None:
    folder = storage / ".lock"
    for left in ("9f3a5c7e1b2d4f60.now", "zzz.json", "readme"):
        (folder / left).write_bytes(b"")
    lease = leases.acquire(folder, "it")
    assert leases.renew(*lease)
    with pytest.raises(RunBusy, match="is working on it"):
        leases.acquire(folder, "it")
    assert leases.renew(*lease)
    leases.release(*lease)
    assert not leases.is_held(folder)


def test_a_lease_that_was_taken_over_is_not_renewed_and_its_release_frees_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage, folder = Storage(), Path()
    use(storage, monkeypatch)
    suspended = leases.acquire(folder, "it", LEASE_S)
    storage.clock += LEASE_S
    holder = leases.acquire(folder, "it", LEASE_S)
    before = dict(storage.files)
    assert not leases.renew(*suspended)
    leases.release(*suspended)
    assert storage.files == before
    assert leases.is_held(folder)
    assert leases.renew(*holder)


def test_who_is_suspended_at_any_step_of_taking_the_lock_does_not_hold_it_beside_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Meanwhile another process takes the lock and releases it, and a third one takes it."""
    ends = []
    for steps in itertools.count():
        storage, folder = Storage(), Path()
        use(storage, monkeypatch)
        slow = Process(storage, lambda folder=folder: leases.acquire(folder, "it", LEASE_S))
        for _ in range(steps):
            slow.go_on()
        if slow.ended:
            break
        with suppress(RunBusy):
            leases.release(*leases.acquire(folder, "it", LEASE_S))
        third: Any = None
        with suppress(RunBusy):
            third = leases.acquire(folder, "it", LEASE_S)
        while not slow.ended:
            slow.go_on()
        slow_holds = not isinstance(slow.result, RunBusy)
        assert slow_holds != (third is not None)
        assert leases.renew(*(slow.result if slow_holds else third))
        ends.append(slow_holds)
    assert set(ends) == {False, True}
