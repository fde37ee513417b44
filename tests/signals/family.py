"""A task with all kinds of descendants, and what must be true of a run that was stopped while it ran."""

from pathlib import Path

import psutil

from tests.cli.program import Gate, Program, write_plan


class Family:
    """A plan whose first task has a child, one in a session of its own, and one in a session of its own that
    lost its parents. Its effect comes at its very end; `b` needs it."""

    def __init__(self, program: Program, gate: Gate) -> None:
        self._program = program
        self._gate = gate
        self.plan = write_plan(
            program.folder,
            '  - {id: a, run: {shell: "sh ./task.sh"}, idempotent: true}\n'
            '  - {id: b, run: {shell: "echo b >> effects"}, needs: [a]}\n',
        )
        self.is_born()

    def is_born(self, *, stubborn: bool = False) -> None:
        """Write the task. Where it is `stubborn`, only SIGKILL ends any of it."""
        trap = 'trap "" TERM INT HUP; ' if stubborn else ""
        away = f"setsid sh -c '{trap}echo $$ >> pids; sleep 600; :'"
        self._task.write_text(
            f"{trap}\nsleep 600 &\necho $! >> pids\n{away} &\n({away} &)\n"
            "until test $(wc -l < pids) = 3; do sleep 0.02; done\n"
            f"echo $$ >> pids\n{self._gate.stop}\necho a >> effects\n"
        )

    @property
    def _task(self) -> Path:
        return self._program.folder / "task.sh"

    def reached(self) -> list[psutil.Process]:
        """Its processes, once all are there."""
        self._gate.reached()
        found = [psutil.Process(int(pid)) for pid in (self._program.folder / "pids").read_text().split()]
        assert len(found) == 4
        return found

    def assert_stopped(self, run: str, processes: list[psutil.Process], reason: str) -> None:
        """Whether the run ended as an order to stop has it, and nothing of the task is left; then, whether it
        can be resumed, and is done once."""
        program = self._program
        assert not [process for process in processes if process.is_running()]
        events = program.events(run)
        kinds = [event["kind"] for event in events]
        assert (kinds[-1], events[-1]["status"], events[-1]["reason"]) == ("run_finished", "aborted", reason)
        assert kinds.count("run_finished") == kinds.count("task_cancelled") == 1
        assert kinds.count("task_started") == 1
        assert "stop" in [event.get("trigger") for event in events]
        assert not (program.folder / "effects").exists()
        program("verify", run).wants(0)
        self._task.write_text("echo a >> effects\n")
        program("resume", run, "--headless").wants(0)
        assert (program.folder / "effects").read_text().split() == ["a", "b"]
