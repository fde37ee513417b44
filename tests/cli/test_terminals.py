"""The console on real terminals: one that does not read, and one whose title is put back."""

import os

from tests.cli.program import Gate, Program, write_plan
from tests.cli.test_streams import Terminal

STEPS = 40
"""Tasks that are carried out while nobody reads: each changes much of the screen."""


def shown_until(terminal: Terminal, wanted: bytes) -> bytes:
    shown = b""
    while wanted not in shown:
        shown += os.read(terminal.screen, 65536)
    return shown


def test_the_engine_does_not_wait_for_a_terminal_that_does_not_read(program: Program, gate: Gate) -> None:
    steps = [
        f'  - {{id: s{n}, run: {{shell: "sleep 0.1"}}, needs: [{f"s{n - 1}" if n else ""}]}}'
        for n in range(STEPS)
    ]
    last = f'  - {{id: last, run: {{shell: "{gate.stop}"}}, needs: [s{STEPS - 1}]}}'
    plan = write_plan(program.folder, "\n".join([*steps, last]) + "\n")
    terminal = Terminal(program, plan, "--run-id", "r", TERM="xterm-256color")
    shown_until(terminal, b"starts the run")
    os.write(terminal.screen, b"s")
    gate.reached()
    assert set(program.statuses("r").values()) == {"succeeded", "running"}
    gate.open()
    shown_until(terminal, b"The run has ended")
    os.write(terminal.screen, b"q")
    terminal.result().wants(0)


def test_the_title_tells_how_the_run_is_doing_and_is_put_back(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "exit 1"}}\n')
    terminal = Terminal(program, plan, "--run-id", "r", TERM="xterm-256color")
    before = shown_until(terminal, b"starts the run")
    os.write(terminal.screen, b"s")
    asked = shown_until(terminal, b"\x1b]2;? 1 question")
    os.write(terminal.screen, b"\x1b")
    shown_until(terminal, b"answers")
    os.write(terminal.screen, b"qf")
    rest = terminal.result().wants(4).out
    assert "\x1b[22;2t" in (before + asked).decode()
    assert rest.rindex("\x1b[23;2t") > rest.rindex("\x1b]2;")


def test_what_is_typed_before_there_is_anything_to_see_is_not_taken_for_an_answer(program: Program) -> None:
    plan = write_plan(program.folder, '  - {id: a, run: {shell: "true"}}\n')
    terminal = Terminal(program, plan, "--run-id", "r", TERM="xterm-256color")
    os.write(terminal.screen, b"s\n")
    shown_until(terminal, b"starts the run")
    os.write(terminal.screen, b"q")
    terminal.result().wants(0)
    assert program("runs").out.startswith("no runs")
