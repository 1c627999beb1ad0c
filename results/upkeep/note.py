"""A user's note on a run, in a file of its folder."""

from __future__ import annotations

from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import read_bytes, remove_file, write_bytes_atomic

NAME = "note.txt"
MAX_CHARACTERS = 500


def write_note(store: RunStore, text: str) -> None:
    """Store a note of one line in place of an earlier one; an empty one removes it. Raises StorageError."""
    line = " ".join(text.split())[:MAX_CHARACTERS]
    if line:
        write_bytes_atomic(store.root / NAME, f"{line}\n".encode())
    else:
        remove_file(store.root / NAME)


def read_note(store: RunStore) -> str | None:
    """Return the note, None where there is none. Raises StorageError."""
    raw = read_bytes(store.root / NAME)
    if raw is None:
        return None
    return " ".join(raw.decode(errors="replace").split())[:MAX_CHARACTERS] or None
