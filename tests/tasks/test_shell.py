"""Real children, and all that they leave behind."""

import errno
import os
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, ProcessMark, Succeeded, verdict
from engine.tasks.shell import ShellExecutor
from engine.tasks.tree import Tree, boot_id, end_survivors, survivors
from tests.tasks.conftest import Heard, MakeJob, carry_out, lives

pytestmark = pytest.mark.anyio

FAMILY = """
sleep 300 & echo child $!
setsid sh -c 'echo apart $$; exec sleep 300' &
(setsid sh -c 'echo orphan $$; exec sleep 300' &)
(sleep 300 & echo background $!)
echo shell $$
wait
"""
"""A shell with children in its group, in sessions of their own, and some that it is no parent of."""


async def test_a_command_runs_in_the_folder_and_its_output_is_kept(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(
        {"shell": "pwd; echo error >&2; cat; echo $WESLEY_RUN $WESLEY_TASK $WESLEY_ATTEMPT"}, attempt=3
    )
    assert await carry_out(job) == Succeeded()
    assert job.output.path.read_text() == f"{tmp_path}\nerror\nr1 t 3\n"


async def test_a_failure_is_classified_and_says_what_it_said(make_job: MakeJob) -> None:
    outcome = await carry_out(make_job({"shell": "echo later, please; echo; exit 75"}))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.exit_code, outcome.effect) == (
        FailureClass.TRANSIENT,
        75,
        "unknown",
    )
    assert outcome.reason == "exit 75: EX_TEMPFAIL; it said: later, please"
    assert outcome.tail == "later, please\n"


async def test_a_signal_shows_as_the_system_tells_it(make_job: MakeJob) -> None:
    direct = await carry_out(make_job({"shell": "kill -SEGV $$"}))
    through = await carry_out(make_job({"shell": "sh -c 'kill -SEGV $$'; exit $?"}))
    assert isinstance(direct, Failed)
    assert isinstance(through, Failed)
    assert (direct.exit_code, through.exit_code) == (-11, 139)
    assert direct.failure_class is through.failure_class is FailureClass.PERMANENT


async def test_a_command_that_cannot_start_had_no_effect(make_job: MakeJob, tmp_path: Path) -> None:
    outcome = await carry_out(replace(make_job({"shell": "true"}), folder=tmp_path / "gone"))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.effect) == (FailureClass.PERMANENT, "none")
    assert outcome.rule == "built-in: not started (ENOENT)"


async def test_stop_ends_the_whole_tree(make_job: MakeJob) -> None:
    heard = Heard()
    job = make_job({"shell": FAMILY}, on_lines=heard)
    async with anyio.create_task_group() as group:

        async def stop() -> None:
            await heard.count(5)
            assert all(map(lives, heard.pids().values()))
            job.stop.set()

        group.start_soon(stop)
        outcome = await carry_out(job)
    assert isinstance(outcome, Cancelled)
    assert outcome.effect == "unknown"
    assert sorted(heard.pids()) == ["apart", "background", "child", "orphan", "shell"]
    assert not [name for name, pid in heard.pids().items() if lives(pid)]


async def test_nobody_that_was_ended_stays_in_the_process_table(make_job: MakeJob) -> None:
    heard = Heard()
    job = make_job({"shell": FAMILY}, on_lines=heard)
    async with anyio.create_task_group() as group:
        group.start_soon(carry_out, job)
        await heard.count(5)
        job.stop.set()
    assert not [name for name, pid in heard.pids().items() if psutil.pid_exists(pid)]


async def test_a_tree_that_ignores_the_request_is_killed(make_job: MakeJob) -> None:
    heard = Heard()
    job = make_job(
        {"shell": "trap '' TERM; sleep 300 & echo child $!; wait; wait"}, on_lines=heard, grace_s=0.1
    )
    async with anyio.create_task_group() as group:
        group.start_soon(carry_out, job)
        await heard.count(1)
        job.stop.set()
    assert not lives(heard.pids()["child"])


async def test_a_tree_that_heeds_the_request_may_clean_up(make_job: MakeJob) -> None:
    heard = Heard()
    job = make_job({"shell": "trap 'echo tidy; exit 0' TERM; echo ready; sleep 300 & wait"}, on_lines=heard)
    async with anyio.create_task_group() as group:
        group.start_soon(carry_out, job)
        await heard.count(1)
        job.stop.set()
    assert heard.lines == ["ready", "tidy"]


async def test_a_stop_that_comes_too_late_changes_nothing(make_job: MakeJob) -> None:
    stop = anyio.Event()

    def stop_once_it_has_ended(mark: ProcessMark) -> None:
        if mark.pid:
            os.waitid(os.P_PID, mark.pid, os.WEXITED | os.WNOWAIT)
            stop.set()

    job = make_job({"shell": "exit 0"}, on_process=stop_once_it_has_ended, stop=stop)
    assert await carry_out(job) == Succeeded()


async def test_a_timeout_ends_the_tree_and_leaves_a_doubt(make_job: MakeJob) -> None:
    heard = Heard()
    outcome = await carry_out(
        make_job({"shell": "sleep 300 & echo child $!; wait"}, on_lines=heard, timeout_s=1.0)
    )
    assert isinstance(outcome, Failed)
    assert (outcome.rule, outcome.failure_class, outcome.effect) == (
        "engine: timeout",
        FailureClass.UNKNOWN,
        "unknown",
    )
    assert not lives(heard.pids()["child"])


async def test_a_stop_before_the_start_starts_nothing(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job({"shell": "touch started"})
    job.stop.set()
    assert await carry_out(job) == Cancelled(effect="none", reason="ended on request")
    assert not (tmp_path / "started").exists()


async def test_a_cancelled_scope_ends_the_tree_too(make_job: MakeJob) -> None:
    heard = Heard()
    job = make_job({"shell": FAMILY}, on_lines=heard)
    async with anyio.create_task_group() as group:
        group.start_soon(ShellExecutor().run, job)
        await heard.count(5)
        group.cancel_scope.cancel()
    assert not [name for name, pid in heard.pids().items() if lives(pid)]


async def test_a_background_process_that_holds_the_output_does_not_hang_the_attempt(
    make_job: MakeJob,
) -> None:
    heard = Heard()
    job = make_job({"shell": "sleep 300 & echo left $!"}, on_lines=heard)
    with anyio.fail_after(15):
        assert await carry_out(job) == Succeeded()
    assert not lives(heard.pids()["left"])
    assert "still running in the background" in job.output.tail()


async def test_a_background_process_may_finish_what_it_is_at(make_job: MakeJob) -> None:
    job = make_job({"shell": "(sleep 0.05; echo late) & echo early"})
    assert await carry_out(job) == Succeeded()
    assert job.output.tail() == "early\nlate"


async def test_a_process_in_a_session_of_its_own_is_let_go_when_the_command_ends(make_job: MakeJob) -> None:
    heard = Heard()
    marks: list[ProcessMark] = []
    # The shell ends once the other has a session of its own: a pipe tells it.
    command = "mkfifo up; setsid sh -c 'echo apart $$; echo > up; exec sleep 300' & read _ < up"
    job = make_job({"shell": command}, on_lines=heard, on_process=marks.append)
    with anyio.fail_after(15):
        assert await carry_out(job) == Succeeded()
    assert [process.pid for process in survivors(marks[1])] == [heard.pids()["apart"]]
    assert await end_survivors(marks[1], grace_s=1.0) == []
    assert not lives(heard.pids()["apart"])


async def test_a_process_is_made_known_before_it_is_started_and_as_soon_as_it_exists(
    make_job: MakeJob,
) -> None:
    marks: list[ProcessMark] = []
    job = make_job({"shell": "echo shell $$"}, attempt=2, on_process=marks.append)
    await carry_out(job)
    intent, mark = marks
    assert (intent.pid, intent.token) == (0, mark.token)
    assert (mark.run, mark.task, mark.attempt, mark.purpose) == ("r1", "t", 2, "run")
    assert job.output.tail() == f"shell {mark.pid}"
    assert mark.boot_id == boot_id()
    assert survivors(mark) == []


def mark_of(pid: int, started: float, boot: str) -> ProcessMark:
    return ProcessMark(
        run="r1", task="t", attempt=1, purpose="run", token="x", pid=pid, started=started, boot_id=boot
    )


async def test_a_process_is_found_by_what_was_known_before_its_start(make_job: MakeJob) -> None:
    heard = Heard()
    marks: list[ProcessMark] = []
    job = make_job({"shell": "echo shell $$; sleep 300"}, on_lines=heard, on_process=marks.append)
    async with anyio.create_task_group() as group:
        group.start_soon(carry_out, job)
        await heard.count(1)
        assert heard.pids()["shell"] in [process.pid for process in survivors(marks[0])]
        job.stop.set()


async def test_without_room_to_write_it_down_no_process_is_started(make_job: MakeJob, tmp_path: Path) -> None:
    def no_room(mark: ProcessMark) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    outcome = await carry_out(make_job({"shell": "touch started"}, on_process=no_room))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.resource, outcome.effect) == (
        FailureClass.RESOURCE,
        "disk",
        "none",
    )
    assert not (tmp_path / "started").exists()


async def test_a_stranger_with_the_same_number_is_no_survivor() -> None:
    assert survivors(mark_of(os.getpid(), 1.0, boot_id())) == []


async def test_nothing_survives_a_new_start_of_the_machine() -> None:
    assert survivors(mark_of(os.getpid(), psutil.Process().create_time(), "another")) == []


async def test_secrets_are_kept_out_of_output_and_outcome(make_job: MakeJob) -> None:
    job = make_job(
        {"shell": "printf 'to hunt'; printf 'er2-secret at\\n'; exit 1"}, secrets={"hunter2-secret": "${PW}"}
    )
    outcome = await carry_out(job)
    assert isinstance(outcome, Failed)
    assert outcome.tail == "to ${PW} at"
    assert "hunter2" not in job.output.path.read_text() + outcome.reason


@pytest.mark.parametrize("printed", ["head -c 52428800 /dev/zero | tr '\\0' x", "yes | head -c 52428800"])
async def test_memory_and_disk_are_bounded_whatever_is_printed(make_job: MakeJob, printed: str) -> None:
    job = make_job({"shell": printed}, file_bytes=1_000_000)
    tracemalloc.start()
    try:
        assert await carry_out(job) == Succeeded()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000
    assert 1_000_000 <= job.output.path.stat().st_size < 1_100_000


@pytest.mark.parametrize(
    ("command", "done"), [("exit 0", True), ("exit 1", False), ("exit 2", None), ("kill -9 $$", None)]
)
async def test_verify_tells_by_its_exit_code(make_job: MakeJob, command: str, done: bool | None) -> None:
    evidence = verdict(await carry_out(make_job({"shell": command}, purpose="verify")))
    assert (evidence.done, evidence.by) == (done, "verify")


async def test_a_shell_command_leaves_no_evidence(make_job: MakeJob) -> None:
    job = make_job({"shell": "true"})
    await carry_out(job)
    assert (await ShellExecutor().evidence(job)).done is None


async def test_many_attempts_run_side_by_side(make_job: MakeJob) -> None:
    jobs = [make_job({"shell": f"echo {number}"}, attempt=number) for number in range(1, 41)]
    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(carry_out, job)
    assert [job.output.tail() for job in jobs] == [str(number) for number in range(1, 41)]


async def test_disk_and_memory_are_looked_at_and_the_rest_is_tried(make_job: MakeJob) -> None:
    job = make_job({"shell": "true"})
    executor = ShellExecutor()
    available, detail = await executor.probe("disk", job)
    assert available
    assert "free on the disk" in detail
    assert (await executor.probe("memory", job))[0]
    assert (await executor.probe("processes", job))[0]


def test_a_mark_without_a_process_takes_no_exit_status_of_others() -> None:
    """An engine was killed before its process was there. Group 0 is then not asked for: where the first
    process of all is in it, every process of the machine would be taken for one of that attempt, and the
    exit status of a child that is just being waited for would be gone."""
    child = subprocess.Popen(["sh", "-c", "exit 3"], start_new_session=True)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    never_started = mark_of(0, 0.0, boot_id())
    assert Tree(never_started).group() == []
    assert survivors(never_started) == []
    assert child.wait() == 3
