# ruff: noqa: E501 (what is printed, as a block)
"""What tasks print is foreign: nothing of it steers a terminal, and no amount of it fills the memory."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.program import Program, live, write_plan
from tests.hostile.long import takes_long
from tests.hostile.refusal import assert_no_control

NASTY = (
    b"title \x1b]0;owned\x07 clipboard \x1b]52;c;cm0gLXJmIC8=\x07 link \x1b]8;;https://x.test\x1b\\here\x1b]8;;\x1b\\\n"
    b"clear \x1b[2J\x1b[H screen \x1b[?1049h mouse \x1b[?1003h paste \x1b[?2004h reset \x1bc query \x1b[6n \x1b[>c\n"
    b"DCS \x1bP$q\"p\x1b\\ APC \x1b_G\x1b\\ PM \x1b^x\x1b\\ SOS \x1bXx\x1b\\ colour \x1b[31337;7m charset \x1b(0\n"
    b"C1 \x9b31337m \x9d0;x\x9c raw \xc2\x9b2J \xc2\x9d52;c;x\xc2\x9c as UTF-8\n"
    b"markup [@click=app.quit]quit[/] [link=x]y[/link] [bold red]z[/] [/] [[x]] [@]\n"
    + "bidi \u202emoc.elpmaxe\u202c \u2066x\u2069 \u061c\u200f zero\u200bwidth\u200d\u2060\ufeff \U000e0041\n".encode()
    + "lines\x85of\u2028other\u2029kinds\x0b\x0c\x1c\x1d\x1e, \ufff9a\ufffab\ufffb, e\u0301\u0301\u0301\u0301\n".encode()
    + b"invalid \xff\xfe \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80 cut \xe2\x82\n"
    b"over\rwritten back\b\b\b\b space DEL\x7f NUL\0 bell\x07 enquiry\x05 shift\x0e\x0f\ttab\n"
    b'last \x1b[31337m \x1b]52;c;x\x07 \x9b2J \xe2\x80\xae [@click=app.quit]x[/] json "}],\\u001b[2J \\" end\n'
)  # fmt: skip
SCREENED = re.compile(r"\x1b\[[0-9;]*[mABCDHJK]|\x1b\[\?25[lh]|\r")
"""What the progress display itself sends: colours, moves of the cursor, erasing a line, hiding the cursor."""


@pytest.fixture
def plan(program: Program) -> Path:
    """Tasks that print, return, raise and fail with everything that is nasty."""
    (program.folder / "nasty.bin").write_bytes(NASTY)
    (program.folder / "nasty.py").write_text(
        "text = open('nasty.bin', 'rb').read().decode('utf-8', 'replace')\n"
        "def returns():\n    return {text: [text, {'x': text}]}\n"
        "def raises():\n    raise SystemExit(text)\n"
    )
    table = json.dumps("INSERT INTO \"\u202e\x1b]52;c;x\x07\x9b2J\" VALUES ('\x1b[2J')")
    return write_plan(
        program.folder,
        "  - {id: prints, run: {shell: cat nasty.bin}}\n"
        "  - {id: fails, run: {shell: cat nasty.bin >&2; exit 77}}\n"
        "  - {id: asks, run: {shell: tail -n 2 nasty.bin; exit 1}}\n"
        "  - {id: is-not-done, run: {shell: 'true'}, verify: {shell: cat nasty.bin; exit 1}}\n"
        '  - {id: returns, run: {python: "nasty:returns"}}\n'
        '  - {id: raises, run: {python: "nasty:raises"}}\n'
        f"  - {{id: asks-sql, run: {{sql: {table}, on: app}}}}\n"
        "  - {id: matches, run: {shell: cat nasty.bin; exit 3}, classify: [{output: clipboard, as: permanent}]}\n",
        targets="{app: {sqlite: app.db}}",
        workers="8",
    )


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def assert_harmless(text: str) -> None:
    assert_no_control(text.replace("\t", ""))


def test_lines_and_json_carry_nothing_that_steers(program: Program, plan: Path) -> None:
    lines = program("run", plan, "--headless", "--run-id", "lines").wants(6)
    assert "UNKNOWN" in lines.out
    assert_harmless(lines.out + lines.err)
    as_json = program("run", plan, "--json", "--run-id", "json").wants(6)
    for told in (as_json.out, program("events", "json").out, program("inspect", "json", "--json").out):
        assert told.isascii()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told)
    told = [text for event in as_json.events for text in strings(event)]
    assert any("[@click=app.quit]" in text for text in told)
    for text in told + list(strings(program.inspect("json"))):
        assert_harmless(text)


def test_what_is_kept_of_output_carries_nothing_that_steers(program: Program, plan: Path) -> None:
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    kept = {path.parent.name: path.read_text() for path in (program.state / "runs/r/output").rglob("*.log")}
    assert {"prints", "fails", "asks", "is-not-done", "raises", "matches"} <= kept.keys()
    for text in kept.values():
        assert_harmless(text)
    assert "␛]52;c;cm0gLXJmIC8=␇" in kept["prints"]
    assert "[@click=app.quit]quit[/]" in kept["prints"]


def test_on_a_terminal_only_the_display_itself_steers(program: Program, plan: Path) -> None:
    screen, ours = pty.openpty()
    child = program.spawn(
        "run", plan, "--headless", environ={"TERM": "xterm"}, stdin=ours, stdout=ours, stderr=ours
    )
    os.close(ours)
    shown = b""
    with live(child):
        try:
            while data := os.read(screen, 65536):
                shown += data
        except OSError:  # the last process on it has ended
            os.close(screen)
        assert child.wait() == 6
    text = shown.decode()
    assert "/8" in text
    assert "[@click=app.quit]x[/]" in text
    assert "\x1b[31337" not in text
    assert "\x1b[2J" not in text
    assert_harmless(SCREENED.sub("", text))


MEGABYTE = 1_000_000
MOST_MEMORY = 200 * MEGABYTE


def peak_memory(program: Program, plan: Path) -> int:
    """The most resident memory, in bytes, that the engine had while it carried out `plan`."""
    with live(program.spawn("run", plan, "--json", "--run-id", "r", stdout=subprocess.DEVNULL)) as child:
        engine, most = psutil.Process(child.pid), 0
        while child.poll() is None:
            try:
                most = max(most, engine.memory_info().rss)
                child.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            except psutil.NoSuchProcess:
                break
        assert child.wait() == 0
    return most


def printing(program: Program, *, line: int, lines: int) -> Path:
    """A plan that prints `line` bytes in one line, and `lines` bytes in lines of two, at the same time."""
    one = f"head -c {line} /dev/zero | tr '\\\\0' x"
    many = f"yes | head -c {lines}"
    return write_plan(
        program.folder,
        f'  - {{id: one, run: {{shell: "{one}"}}}}\n  - {{id: many, run: {{shell: "{many}"}}}}\n',
    )


@pytest.mark.parametrize("megabytes", [100, pytest.param(500, marks=takes_long)], ids="twice {} MB".format)
def test_memory_and_disk_stay_bounded_whatever_is_printed(program: Program, megabytes: int) -> None:
    plan = printing(program, line=megabytes * MEGABYTE, lines=megabytes * MEGABYTE)
    assert peak_memory(program, plan) < MOST_MEMORY
    assert program.statuses("r") == {"one": "succeeded", "many": "succeeded"}
    for log in (program.state / "runs/r/output").rglob("*.log"):
        assert log.stat().st_size < 70 * MEGABYTE
        with log.open("rb") as file:
            file.seek(-500_000, os.SEEK_END)
            assert "bytes of output are left out here" in file.read().decode("utf-8", "replace")
