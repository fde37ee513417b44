"""The console in a real terminal: signals, a terminal that is closed or stands still, and all its sizes."""

import os
import signal

import pytest

from tests.cli.program import Gate, Program, write_plan
from tests.signals.family import Family
from tests.signals.terminal import Terminal, continued, is_stopped
from tests.signals.test_stopping import BOUND_S


def started(program: Program, plan: object, **options: object) -> Terminal:
    """The console with a run of `plan` that has been confirmed."""
    terminal = Terminal(program, plan, "--run-id", "r", **options)
    terminal.shows("Start the run")
    terminal.press("s")
    return terminal


def test_a_signal_ends_the_run_and_gives_the_terminal_back(program: Program, family: Family) -> None:
    with started(program, family.plan) as terminal:
        processes = family.reached()
        terminal.shows("running")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.ended() == 4
        assert b"resume r" in terminal.raw
    family.assert_stopped("r", processes, "SIGTERM received")


def test_a_closed_terminal_ends_the_run_within_bounds_though_its_tasks_do_not_listen(
    program: Program, family: Family
) -> None:
    family.is_born(stubborn=True)
    with started(program, family.plan) as terminal:
        processes = family.reached()
        terminal.hang_up()
        assert terminal.child.wait(BOUND_S) == 4
    family.assert_stopped("r", processes, "SIGHUP received")


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP], ids=lambda each: each.name)
def test_a_console_that_was_stopped_and_continued_is_drawn_anew(
    program: Program, gate: Gate, number: signal.Signals
) -> None:
    plan = write_plan(program.folder, f'  - {{id: first, run: {{shell: "{gate.stop}"}}}}\n')
    with started(program, plan) as terminal:
        gate.reached()
        terminal.shows("first", "running")
        terminal.press("\x1a")
        terminal.shows("Not suspended")
        terminal.child.send_signal(number)
        terminal.until(lambda: is_stopped(terminal.child), "that it stands still")
        if number == signal.SIGTSTP:
            terminal.assert_given_back()
        terminal.screen.reset()
        continued(terminal.child)
        terminal.shows("first", "running")
        terminal.press("p")
        terminal.shows("pausing")
        gate.open()
        terminal.shows("paused")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.ended() == 4


def test_a_terminal_that_takes_nothing_holds_no_engine_up(program: Program, gate: Gate) -> None:
    then = Gate(program.folder, "then")
    plan = write_plan(
        program.folder,
        f'  - {{id: first, run: {{shell: "{gate.stop}"}}}}\n'
        f'  - {{id: second, run: {{shell: "{then.stop}"}}, needs: [first]}}\n',
    )
    with started(program, plan) as terminal:
        gate.reached()
        terminal.shows("first", "running")
        for number in range(60):
            terminal.resize(100 + number % 2, 30)
            os.kill(terminal.child.pid, signal.SIGWINCH)
            terminal.press("z")
        gate.open()
        then.reached()
        terminal.resize(100, 30)
        terminal.shows("second", "running")
        then.open()
        terminal.shows("completed")
        terminal.press("q")
        assert terminal.ended() == 0


def test_a_terminal_that_takes_nothing_any_more_holds_no_end_up(program: Program, family: Family) -> None:
    with started(program, family.plan) as terminal:
        processes = family.reached()
        for number in range(60):
            terminal.resize(100 + number % 2, 30)
            terminal.press("z")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.child.wait(BOUND_S) == 4
    family.assert_stopped("r", processes, "SIGTERM received")


SIZES = ((10, 3), (80, 24), (3, 60), (200, 2), (1, 1))


def test_every_size_of_a_terminal_is_survived(program: Program, gate: Gate) -> None:
    """With a run going, with its question open, and at the end."""
    plan = write_plan(program.folder, f'  - {{id: first, run: {{shell: "{gate.stop}; exit 1"}}}}\n')
    with started(program, plan) as terminal:
        gate.reached()
        resize_through(terminal, "first", "running")
        gate.open()
        resize_through(terminal, "exit 1")
        terminal.press("\x1b")
        resize_through(terminal, "first", "failed")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.ended() == 4


def resize_through(terminal: Terminal, *shown: str) -> None:
    terminal.shows(*shown)
    for size in SIZES:
        terminal.resize(*size)
        terminal.drawn()
    terminal.resize(10, 3)
    terminal.resize(100, 30)
    terminal.shows(*shown)


def test_a_console_that_starts_on_a_tiny_terminal_is_usable_once_it_grows(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: first, run: {shell: "true"}}\n')
    with Terminal(program, plan, "--run-id", "r", size=(10, 3)) as terminal:
        terminal.drawn()
        terminal.resize(100, 30)
        terminal.shows("Start the run")
        terminal.press("s")
        terminal.shows("completed")
        terminal.press("q")
        assert terminal.ended() == 0


def test_a_signal_at_the_question_about_an_edited_plan_gives_the_terminal_back(program: Program) -> None:
    tasks = '  - {id: a, run: {shell: "exit 1"}}\n  - {id: b, run: {shell: "echo one"}}\n'
    plan = write_plan(program.folder, tasks)
    program("run", plan, "--headless", "--run-id", "r", "--on-unknown", "abort").wants(4)
    write_plan(program.folder, tasks.replace("exit 1", "exit 2"))
    before = program("events", "r").out
    with Terminal(program, "resume", "r") as terminal:
        terminal.shows("The plan was changed")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.ended() == 7
        assert b"nothing was started" in terminal.raw
    assert program("events", "r").out == before


def test_a_signal_ends_the_inspector_and_gives_the_terminal_back(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: first, run: {shell: "true"}}\n')
    program("run", plan, "--headless", "--run-id", "r").wants(0)
    with Terminal(program, "inspect", "r") as terminal:
        terminal.shows("first")
        terminal.press("\x1a")
        terminal.until(lambda: is_stopped(terminal.child), "that ctrl+z stops it")
        terminal.assert_given_back()
        continued(terminal.child)
        terminal.child.send_signal(signal.SIGINT)
        assert terminal.ended() == 0
