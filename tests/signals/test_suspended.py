"""An engine that stands still for a while: its tasks do not, and time has passed for both when it goes on."""

import signal

from tests.cli.program import Gate, Program, ended, live, write_plan
from tests.signals.terminal import Terminal, continued, is_stopped


def test_tasks_go_on_while_their_engine_is_stopped_and_their_time_counts(
    program: Program, gate: Gate
) -> None:
    """`in-time` ends by itself meanwhile, within its timeout, which is over when the engine goes on; `late`
    runs longer than it may; `again` is to be tried again after half a second, which is over, too."""
    slow = Gate(program.folder, "slow")
    wait = "until test -e late -a -e slow -a -e tries; do sleep 0.02; done"
    again = "echo x >> tries; test $(wc -l < tries) = 2 || exit 75"
    plan = write_plan(
        program.folder,
        f'  - {{id: in-time, run: {{shell: "{wait}; {gate.stop}; echo done >> effects"}}, timeout: 2s}}\n'
        '  - {id: late, run: {shell: "touch late; exec sleep 600"}, timeout: 2s}\n'
        f'  - {{id: again, run: {{shell: "{again}"}}}}\n'
        f'  - {{id: slow, run: {{shell: "touch slow; sleep 2.2; {slow.stop}"}}}}\n',
        retry="{base: 250ms}",
    )
    with live(program.spawn("run", plan, "--headless", "--run-id", "r", "--on-unknown", "abort")) as child:
        gate.reached()
        child.send_signal(signal.SIGSTOP)
        gate.open()
        slow.reached()
        assert (program.folder / "effects").read_text() == "done\n"
        assert is_stopped(child)
        continued(child)
        slow.open()
        ended(child).wants(4)
    events = program.events("r")
    of = {
        task: [each for each in events if each.get("task") == task] for task in ("in-time", "late", "again")
    }
    kinds = {task: [each["kind"] for each in each_of] for task, each_of in of.items()}
    assert "task_succeeded" in kinds["in-time"]
    failed = next(each for each in of["late"] if each["kind"] == "task_failed")
    assert "2s" in failed["reason"]
    begun = {each["task"]: each["t"] for each in events if each["kind"] == "task_started"}
    assert failed["t"] - begun["late"] > 2.0


def test_a_progress_display_that_is_stopped_leaves_a_usable_terminal(program: Program, gate: Gate) -> None:
    plan = write_plan(program.folder, f'  - {{id: first, run: {{shell: "{gate.stop}"}}}}\n')
    with Terminal(program, "run", plan, "--headless", "--run-id", "r") as terminal:
        gate.reached()
        terminal.shows("running: first")
        terminal.child.send_signal(signal.SIGSTOP)
        terminal.until(lambda: is_stopped(terminal.child), "that it stands still")
        while terminal.read():
            pass
        terminal.assert_given_back()
        continued(terminal.child)
        gate.open()
        terminal.shows("completed")
        assert terminal.ended() == 0
