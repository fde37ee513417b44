"""Streams that are closed, full, gone, or of few characters: no command breaks on one, no run ends by it."""

import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Gate, Program, Result, await_line, ended, live, write_plan

QUIET = '  - {id: a, run: {shell: "echo from a"}}\n  - {id: b, run: {shell: "true"}, needs: [a]}\n'
BAD = "  - {id: a, run: {shell: \"echo 'ünïcödé 北'; exit 1\"}}\n"


@pytest.fixture
def plan(program: Program) -> Path:
    return write_plan(program.folder, QUIET)


@pytest.mark.parametrize("output", ["--headless", "--json"])
def test_a_run_goes_on_when_nobody_reads_any_more(program: Program, gate: Gate, output: str) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n')
    with live(program.spawn("run", plan, output, "--run-id", "r")) as child:
        await_line(child.stdout, bool)
        gate.reached()
        assert child.stdout is not None
        child.stdout.close()
        gate.open()
        assert child.wait() == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""
    assert program.inspect("r")["status"] == "completed"


def test_a_run_does_not_wait_for_who_reads_slowly(program: Program, gate: Gate) -> None:
    """Far more is told than a pipe holds, and nobody reads before the last task has been reached."""
    many = "".join(f"  - {{id: t{n}, run: {{simulate: {{duration: 0s}}}}}}\n" for n in range(150))
    needs = ", ".join(f"t{n}" for n in range(150))
    plan = write_plan(
        program.folder, f'{many}  - {{id: last, run: {{shell: "{gate.stop}"}}, needs: [{needs}]}}\n'
    )
    with live(program.spawn("run", plan, "--json", "--run-id", "r")) as child:
        gate.reached()
        child.send_signal(signal.SIGTERM)
        result = ended(child).wants(4)
    assert len(result.out) > 100_000
    assert result.out == program("events", "r").out


@pytest.mark.parametrize("output", ["--headless", "--json"])
@pytest.mark.parametrize("redirect", [">&-", "<&- >&- 2>&-"])
def test_a_run_needs_no_streams(program: Program, plan: Path, redirect: str, output: str) -> None:
    program.process("run", plan, output, "--run-id", "r", redirect=redirect).wants(0)
    assert program.statuses("r") == {"a": "succeeded", "b": "succeeded"}
    assert (program.state / "runs/r/output/a/1-run.log").read_text() == "from a\n"


@pytest.mark.parametrize("output", ["--headless", "--json"])
def test_a_run_is_not_ended_by_a_full_disk_under_its_output(
    program: Program, plan: Path, output: str
) -> None:
    result = program.process("run", plan, output, "--run-id", "r", redirect="> /dev/full").wants(0)
    assert "standard output" in result.err
    assert "No space left" in result.err
    assert program.inspect("r")["status"] == "completed"


def test_a_command_whose_output_is_lost_does_not_say_that_all_is_well(program: Program, plan: Path) -> None:
    result = program.process("check", plan, "--json", redirect="> /dev/full").wants(1)
    assert "No space left" in result.err


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize("command", [("--help",), ("forecast", "plan.yaml"), ("schema",)], ids=" ".join)
def test_a_reader_who_goes_away_is_no_fault(program: Program, command: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        result = program.process(*command, stdout=write).wants(0)
    finally:
        os.close(write)
    assert result.err == ""


def test_what_the_encoding_lacks_ends_no_run(program: Program) -> None:
    plan = write_plan(program.folder, BAD)
    narrow = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "40", "NO_COLOR": "1"}
    result = program.process("run", plan, "--headless", environ=narrow).wants(6)
    assert result.out.isascii()
    assert "a failed (UNKNOWN: exit 1; it said: ?n?c?d? ?" in result.out


class Terminal:
    """A terminal with a command on it, of which the test is the screen and the keyboard."""

    def __init__(self, program: Program, *args: object, **environ: str) -> None:
        self.screen, ours = pty.openpty()
        self.child = program.spawn(*args, environ=environ, stdin=ours, stdout=ours, stderr=ours)
        os.close(ours)

    def result(self) -> Result:
        shown = b"".join(self._shown()).decode(errors="replace")  # it may begin in the midst of a character
        return Result(self.child.wait(), shown, "")

    def hang_up(self) -> None:
        os.close(self.screen)

    def _shown(self) -> Iterator[bytes]:
        try:
            while data := os.read(self.screen, 65536):
                yield data
        except OSError:  # the last process on it has ended
            return
        finally:
            self.hang_up()


def test_a_terminal_gets_a_progress_display(program: Program, plan: Path) -> None:
    shown = Terminal(program, "run", plan, "--headless", TERM="xterm").result().wants(0).out
    assert "2/2" in shown
    assert "\x1b[" in shown


def test_a_dumb_terminal_gets_plain_lines_and_no_colour_means_none(program: Program, plan: Path) -> None:
    dumb = Terminal(program, "run", plan, "--headless", TERM="dumb").result().wants(0).out
    assert "b succeeded" in dumb
    assert "\x1b" not in dumb
    plain = Terminal(program, "run", plan, "--headless", TERM="xterm", NO_COLOR="1").result().wants(0).out
    assert "b succeeded" in plain
    assert "\x1b[3" not in plain


def test_a_terminal_that_goes_away_without_a_word_does_not_end_the_run(program: Program, gate: Gate) -> None:
    plan = write_plan(program.folder, f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n')
    terminal = Terminal(program, "run", plan, "--headless", "--run-id", "r", TERM="xterm")
    with live(terminal.child):
        gate.reached()
        terminal.hang_up()
        gate.open()
        assert terminal.child.wait() == 0
    assert program.inspect("r")["status"] == "completed"


@pytest.mark.parametrize(
    ("command", "instead"),
    [(("plan.yaml",), "--headless"), (("resume", "r"), "--headless"), (("inspect", "r"), "--json")],
)
def test_the_console_is_refused_where_there_is_no_terminal(
    program: Program, command: tuple[str, ...], instead: str
) -> None:
    plan = write_plan(program.folder, BAD)
    program("run", plan, "--headless", "--run-id", "r").wants(6)
    before = program("events", "r").out
    result = ended(program.spawn(*command)).wants(2)
    assert "terminal" in result.err
    assert instead in result.err
    assert result.out == ""
    assert program("events", "r").out == before
