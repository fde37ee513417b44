"""Text of the console given out: to the terminal's clipboard, or to a new file."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

from textual.app import App

from console.look import plural

CLIPBOARD_BYTES = 64 * 1024
"""Terminals drop what is put to their clipboard (OSC 52) where it is much longer than this."""

Write = Callable[[BinaryIO], object]


@runtime_checkable
class Savable(Protocol):
    """Lines that are more in a file than on a screen, where long ones are cut."""

    def save(self, file: BinaryIO) -> None: ...


class Export(NamedTuple):
    """What can be given out, in parts that follow each other: `what` says what it is, `stem` is the beginning
    of a file's name. A part may be a million lines of output, so nothing walks through all of it but
    `write_to`, which is meant for a thread."""

    what: str
    stem: str
    parts: tuple[Sequence[str], ...]

    @property
    def size(self) -> int:
        """How many lines there are."""
        return sum(map(len, self.parts))

    def last_first(self) -> Iterator[str]:
        """The lines, from the last one back."""
        for part in reversed(self.parts):
            yield from reversed(part)

    def write_to(self, file: BinaryIO) -> None:
        """Write all of it. Raises OSError."""
        for part in self.parts:
            if isinstance(part, Savable):
                part.save(file)
            else:
                file.writelines(f"{line}\n".encode() for line in part)


@runtime_checkable
class Exportable(Protocol):
    """What `y` and `w` can be asked of."""

    def export(self) -> Export: ...


def copy(app: App[object], export: Export) -> None:
    """Put the lines on the clipboard, and say so; of very many the last ones."""
    lines = _last(export)
    if not lines:
        app.notify(f"{export.what}: there is nothing to copy", timeout=3, markup=False)
        return
    app.copy_to_clipboard("\n".join(lines))
    all_of = "" if len(lines) == export.size else f"the last {len(lines)} of "
    app.notify(f"Copied {all_of}{plural(export.size, 'line')}: {export.what}", timeout=3, markup=False)


def _last(export: Export) -> list[str]:
    room, taken = CLIPBOARD_BYTES, list[str]()
    for line in export.last_first():
        room -= len(line.encode()) + 1
        if room < 0:
            break
        taken.append(line)
    return taken[::-1]


def file_name(parts: Iterable[str]) -> str:
    """A name for a text file, of characters that need no quoting anywhere."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part for part in parts if part)).strip("-.")
    return f"{name or 'output'}.txt"


def save_new(path: Path, write: Write) -> int:
    """Make the file `path` (`~` is the user's folder), readable by its user alone; its size in bytes.

    Raises OSError, FileExistsError among them: nothing is ever written over. What could not be written whole
    is not left behind.
    """
    path = path.expanduser()
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    try:
        with file:
            write(file)
            return file.tell()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
