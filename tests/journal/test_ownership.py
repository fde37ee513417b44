import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from engine.journal.errors import Fenced, Owned, StateDirUnusable
from engine.journal.journal import Journal
from engine.journal.ownership import live_owner, own, this_engine
from engine.journal.rundir import RunDir, create_run_dir
from tests.journal.samples import python, started_journal, task_events

OWNING = """
import sys
from pathlib import Path
from engine.journal.ownership import own
from engine.journal.rundir import RunDir
with own(RunDir(Path(sys.argv[1]))):
    print("owned", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    return create_run_dir(tmp_path, "r1")


def test_a_second_engine_is_refused_with_the_identity_of_the_first(rundir: RunDir) -> None:
    with python(OWNING, rundir.path) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "owned\n"
        owner = live_owner(rundir)
        assert owner is not None
        assert owner.pid == child.pid
        assert abs(owner.process_started - psutil.Process(child.pid).create_time()) < 0.1
        assert abs(owner.since - datetime.now(UTC)) < timedelta(seconds=60)
        with pytest.raises(Owned, match=f"pid {child.pid} on {owner.host}, since 20") as refused:
            own(rundir)
        assert refused.value.owner == owner
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "released\n"
        assert live_owner(rundir) is None
        with own(rundir) as ours:
            assert ours.owner.pid == os.getpid()
            seen = live_owner(rundir)
            assert seen == ours.owner
        child.communicate("\n")


def test_a_killed_engine_is_dead_at_once(rundir: RunDir) -> None:
    with python(OWNING, rundir.path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "owned\n"
        child.kill()
        child.wait()
        assert live_owner(rundir) is None
        own(rundir).release()


def test_a_stopped_engine_is_alive(rundir: RunDir) -> None:
    with python(OWNING, rundir.path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "owned\n"
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(Owned):
            own(rundir)
        child.kill()


def test_what_the_engine_starts_does_not_inherit_its_lock(rundir: RunDir) -> None:
    waiting = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    ownership = own(rundir)
    pipe = subprocess.PIPE
    with subprocess.Popen(waiting, stdin=pipe, stdout=pipe, close_fds=False) as task:
        assert task.stdout is not None
        assert task.stdout.readline() == b"up\n"
        ownership.release()
        assert live_owner(rundir) is None
        own(rundir).release()
        task.communicate()


def test_nobody_owns_a_run_whose_lock_was_never_taken(rundir: RunDir) -> None:
    assert live_owner(rundir) is None
    assert not rundir.lock.exists()


def test_an_owner_that_has_not_said_who_it_is_still_owns(rundir: RunDir) -> None:
    with own(rundir):
        rundir.lock.write_text("")
        with pytest.raises(Owned, match="not said who it is"):
            own(rundir)


def test_a_lock_that_cannot_be_made_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(StateDirUnusable, match=r"owner\.lock"):
        own(RunDir(tmp_path / "gone"))
    (tmp_path / "owner.lock").symlink_to("elsewhere")
    with pytest.raises(StateDirUnusable):
        own(RunDir(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


def test_releasing_twice_is_once(rundir: RunDir) -> None:
    ownership = own(rundir)
    ownership.release()
    with own(rundir):
        ownership.release()
        assert live_owner(rundir) is not None


def test_this_engine_is_this_process() -> None:
    engine = this_engine()
    assert engine.pid == os.getpid()
    assert engine.host
    assert engine.boot_id
    assert engine.version
    assert engine == this_engine()


WAKING = """
import sys
from pathlib import Path
from engine.journal.errors import Fenced
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir
from tests.journal.samples import task_events
journal = Journal.open(RunDir(Path(sys.argv[1])))
print("open", flush=True)
seq = int(sys.stdin.readline())
try:
    journal.append(task_events(seq, 1))
except Fenced:
    print("fenced", flush=True)
"""


def test_an_engine_that_wakes_after_another_took_over_cannot_write(tmp_path: Path) -> None:
    started_journal(tmp_path, events=3).close()
    rundir = RunDir(tmp_path / "runs" / "r1")
    with python(WAKING, rundir.path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        os.kill(child.pid, signal.SIGSTOP)
        with Journal.open(rundir) as journal:
            journal.append(task_events(4, 2))
            os.kill(child.pid, signal.SIGCONT)
            said, _ = child.communicate("4\n")
            assert said == "fenced\n"
            assert journal.append(task_events(6, 1)) == journal.hash_at(6)


def test_fencing_holds_within_one_process(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal:
        Journal.open(journal.rundir).close()
        with pytest.raises(Fenced):
            journal.append(task_events(2, 1))
