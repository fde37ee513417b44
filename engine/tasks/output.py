"""The output of one attempt: kept in a file, with its end in memory for screens and for classification.

Everything goes through here, and comes out neutralised and without secrets. Memory and disk stay bounded
whatever a task prints.
"""

import codecs
from collections import deque
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from engine.tasks.sanitise import TAB_WIDTH, Cleaner, Redactor, clean_value, neutralise

TAIL_LINES = 200
TAIL_BYTES = 64 * 1024
LINE_LIMIT = 4096
"""Characters of a line that the tail and the screens get; the file has the whole line."""
FILE_BYTES = 64 * 1024 * 1024
_PIECE = 64 * 1024
_EXCERPT_LINES = 40
_EXCERPT_CHARACTERS = 8 * 1024


class OutputSink:
    """Takes what one attempt prints. To be called from one thread at a time.

    `on_lines` hears of new lines, ready for a screen: of each piece of output the last `tail_lines` at most.
    The file appears with the first output. What is beyond `file_bytes` is left out of it, but for the tail.
    """

    def __init__(
        self,
        path: Path,
        redactor: Redactor | None = None,
        *,
        on_lines: Callable[[list[str]], None] | None = None,
        tail_lines: int = TAIL_LINES,
        tail_bytes: int = TAIL_BYTES,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self.path = path
        self._redactor = redactor or Redactor()
        self._cleaner = Cleaner(self._redactor)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail = _Tail(tail_lines, tail_bytes)
        self._on_lines = on_lines
        self._file: FileIO | None = None
        self._room = file_bytes
        self._left_out = 0
        self._lines_left_out = 0
        self._missing = 0
        self._why = ""

    def write(self, data: bytes) -> None:
        """Take output as the task printed it."""
        for start in range(0, len(data), _PIECE):
            self._take(self._cleaner.feed(self._decoder.decode(data[start : start + _PIECE])))

    def note(self, text: str) -> None:
        """Take a line of the engine's own, or text that is not bytes: it starts and ends a line."""
        self._settle()
        lead = "\n" if self._tail.in_line else ""
        self._take(f"{lead}{self._redactor.redact(neutralise(text))}\n")

    def close(self) -> None:
        """Write out what was held back, and close the file."""
        self._settle()
        if self._tail.in_line:
            self._announce(self._tail.feed("\n"))
            self._lines_left_out += 1 if self._left_out else 0
        if self._left_out:
            self._keep_end()
        self._append(b"")
        if self._file:
            self._file.close()
            self._file = None

    @property
    def not_kept(self) -> str:
        """Why output is missing from the file (a full disk, say); empty where nothing is."""
        return f"output could not be kept in {self.path}: {self._why}" if self._missing else ""

    def tail(self) -> str:
        """The end of the output so far: what `output` rules of a plan are matched against."""
        return "\n".join(self._tail.lines())

    def excerpt(self) -> str:
        """A short tail, to go with a failure into the journal."""
        return "\n".join(self._tail.lines()[-_EXCERPT_LINES:])[-_EXCERPT_CHARACTERS:]

    def last_line(self, width: int = 200) -> str:
        """The last line that says anything, cut to `width` characters; empty where there is none."""
        said = (line.strip() for line in reversed(self._tail.lines()))
        return next(filter(None, said), "")[:width]

    def clean(self, text: str) -> str:
        """Any other foreign text (an error's message, say), neutralised and redacted."""
        return self._redactor.redact(neutralise(text)).expandtabs(TAB_WIDTH)

    def clean_value(self, value: Any) -> Any:
        """A JSON value with every string in it neutralised and redacted."""
        return clean_value(value, self._redactor)

    def _settle(self) -> None:
        self._take(self._cleaner.feed(self._decoder.decode(b"", final=True)) + self._cleaner.finish())

    def _take(self, text: str) -> None:
        if text:
            self._keep(text.encode())
            self._announce(self._tail.feed(text))

    def _announce(self, lines: list[str]) -> None:
        if lines and self._on_lines:
            self._on_lines(lines)

    def _keep(self, data: bytes) -> None:
        kept = data[: self._room]
        self._room -= len(kept)
        self._append(kept)
        if left_out := data[len(kept) :]:
            self._left_out += len(left_out)
            self._lines_left_out += left_out.count(b"\n")

    def _keep_end(self) -> None:
        """The file is full: say how much is missing, and end it with the newest lines."""
        newest = self._tail.lines()[-self._lines_left_out :] if self._lines_left_out else []
        end = "".join(f"{line}\n" for line in newest).encode()
        missing = max(self._left_out - len(end), 0)
        self._append(f"\n… {missing:,} bytes of output are left out here …\n".encode() + end)

    def _append(self, data: bytes) -> None:
        """A full disk must not end the task whose output it was: what does not fit is counted, and that is
        told in its place as soon as something fits again."""
        left = self._gap() + data
        try:
            while left:
                left = left[self._opened().write(left) :]
            self._missing = 0
        except OSError as error:
            self._missing = len(left) if len(left) <= len(data) else self._missing + len(data)
            self._why = error.strerror or str(error)

    def _gap(self) -> bytes:
        if not self._missing:
            return b""
        return f"\n… {self._missing:,} bytes of output are missing here: {self._why} …\n".encode()

    def _opened(self) -> FileIO:
        if self._file is None:
            self.path.parent.mkdir(exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        return self._file


class _Tail:
    """The newest lines, cut and with tabs expanded, and the line that is not finished yet."""

    def __init__(self, most_lines: int, most_bytes: int) -> None:
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._open = ""
        self._open_cut = 0
        self.in_line = False

    def feed(self, text: str) -> list[str]:
        """Take text; the lines that it completes, the last `most_lines` of them at most."""
        first, *rest = text.split("\n")
        if not rest:
            self._extend(first)
            return []
        self._extend(first)
        done = [self._finished()]
        done += [_line(line) for line in rest[:-1][-self._most_lines :]]
        self._open, self._open_cut, self.in_line = "", 0, False
        self._extend(rest[-1])
        done = done[-self._most_lines :]
        for line in done:
            self._push(line)
        return done

    def lines(self) -> list[str]:
        return [*self._lines, self._finished()] if self.in_line else list(self._lines)

    def _extend(self, text: str) -> None:
        if text:
            self.in_line = True
            kept = text[: LINE_LIMIT - len(self._open)]
            self._open += kept
            self._open_cut += len(text) - len(kept)

    def _finished(self) -> str:
        return _line(self._open, self._open_cut)

    def _push(self, line: str) -> None:
        self._lines.append(line)
        self._bytes += len(line.encode()) + 1
        while len(self._lines) > self._most_lines or self._bytes > self._most_bytes:
            self._bytes -= len(self._lines.popleft().encode()) + 1


def _line(text: str, cut: int = 0) -> str:
    cut += max(len(text) - LINE_LIMIT, 0)
    shown = text[:LINE_LIMIT].expandtabs(TAB_WIDTH)
    return f"{shown} … ({cut:,} more characters)" if cut else shown
