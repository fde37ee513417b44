"""The program as its users have it: commands with arguments, two streams and an exit code.

`Program.__call__` runs a command inside the test's own process, through the same entry point and much faster;
`spawn` and `process` start a real child process, where a process is the point.
"""

import io
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

import psutil
import pytest

from console.cli import main

ENTRY = "from console.cli import main; main()"
PATIENCE_S = 60


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def wants(self, code: int) -> "Result":
        """This result, if it ended with `code` and without a traceback; else the test fails and shows it."""
        said = f"--- stdout\n{self.out}\n--- stderr\n{self.err}"
        assert "Traceback" not in self.err + self.out, said
        assert self.code == code, f"exit {self.code} instead of {code}\n{said}"
        return self


@dataclass(frozen=True)
class Program:
    """The program with a state directory of its own, started in `folder`."""

    folder: Path
    state: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *args: object, folder: Path | None = None) -> Result:
        out, err = _Stream(), _Stream()
        argv = ["wesley-console", *map(str, args)]
        with (
            chdir(folder or self.folder),
            patch.dict(os.environ, self._told()),
            patch.object(sys, "argv", argv),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return Result(int(ended.value.code or 0), out.text(), err.text())

    def spawn(
        self,
        *args: object,
        folder: Path | None = None,
        entry: str = ENTRY,
        redirect: str = "",
        environ: dict[str, str] | None = None,
        **options: Any,
    ) -> "subprocess.Popen[str]":
        """The command as a child process. Its streams are pipes, unless `options` (of Popen) or `redirect`
        (in the shell's words) say otherwise."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-c", entry, *map(str, args)],
            cwd=folder or self.folder,
            env=os.environ | self._told() | (environ or {}),
            text=True,
            **streams | options,
        )

    def process(self, *args: object, **options: Any) -> Result:
        """What the command came to as a child process."""
        return ended(self.spawn(*args, **options))

    def events(self, run: str) -> list[dict[str, Any]]:
        return self("events", run).wants(0).events

    def inspect(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self("inspect", run, "--json").wants(0).json
        return found

    def statuses(self, run: str) -> dict[str, str]:
        """Status by task."""
        return {task: each["status"] for task, each in self.inspect(run)["tasks"].items()}

    def _told(self) -> dict[str, str]:
        return {"WESLEY_CONSOLE_STATE": str(self.state), **self.environ}


class _Stream(io.TextIOWrapper):
    """A text stream like those that the program gives its process: with an encoding, and bytes below."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="replace")

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def ended(child: "subprocess.Popen[str]") -> Result:
    """What `child` came to, once it has ended by itself."""
    try:
        out, err = child.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        pytest.fail(f"it did not end\n--- stdout\n{out}\n--- stderr\n{err}")
    return Result(child.returncode, out or "", err or "")


def await_line(stream: IO[str] | None, wanted: Callable[[str], bool]) -> str:
    """The first line on `stream` that is `wanted`; fails where there is none."""
    assert stream is not None
    seen = []
    for line in stream:
        if wanted(line):
            return line
        seen.append(line)
    pytest.fail(f"the line never came; instead: {''.join(seen)}")


def await_event(child: "subprocess.Popen[str]", kind: str, **fields: object) -> dict[str, Any]:
    """The next event of `kind` (and with `fields`) that `child`, run with --json, tells of."""

    def wanted(line: str) -> bool:
        event = json.loads(line)
        return event["kind"] == kind and all(event.get(name) == value for name, value in fields.items())

    found: dict[str, Any] = json.loads(await_line(child.stdout, wanted))
    return found


@contextmanager
def live(child: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """`child`, which is killed at the end of the block if it still runs, with all that descends from it."""
    with child:
        try:
            yield child
        finally:
            kill_tree(child.pid)


def kill_tree(pid: int) -> None:
    """SIGKILL for a process, and then, when it cannot see it any more, for all that descends from it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            each.kill()


class Gate:
    """Where a shell task stops in its middle: `stop` is the command that does, `reached` waits until it has,
    and `open` lets it go on."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self._here, self._go = folder / f"{name}.here", folder / f"{name}.go"
        for fifo in (self._here, self._go):
            os.mkfifo(fifo)
        self.stop = f"echo > {self._here.name}; read go < {self._go.name}"

    def reached(self) -> None:
        reader = os.open(self._here, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert select.select([reader], [], [], PATIENCE_S)[0], "the task was never reached"
            os.read(reader, 10)
        finally:
            os.close(reader)

    def open(self) -> None:
        self._go.write_text("go\n")


def write_plan(folder: Path, tasks: str, *, name: str = "plan.yaml", **settings: str) -> Path:
    """A plan of `tasks`, the lines of the list in YAML, in a file of its own."""
    head = "".join(f"{key}: {value}\n" for key, value in settings.items())
    path = folder / name
    path.write_text(f"wesley: 1\nname: outside view\n{head}tasks:\n{tasks}", encoding="utf-8")
    return path
