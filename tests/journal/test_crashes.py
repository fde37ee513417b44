"""Children that are killed, run out of room, or lose their files, while they append."""

import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine.journal.errors import NeverStarted
from engine.journal.integrity import verify_run
from engine.journal.journal import Journal
from engine.journal.ownership import live_owner
from engine.journal.rundir import RunDir
from tests.journal.samples import python, started_journal, task_events

APPENDING = """
import sys
from pathlib import Path
from engine.journal.journal import Journal
from engine.journal.ownership import own
from engine.journal.rundir import RunDir
from tests.journal.samples import save_checkpoint, task_events
rundir = RunDir(Path(sys.argv[1]))
with own(rundir), Journal.open(rundir) as journal:
    seq, _ = journal.head()
    while True:
        count = seq % 3 + 1
        journal.append(task_events(seq + 1, count))
        seq += count
        if seq % 10 == 0:
            save_checkpoint(journal, f"c{seq}", "barrier")
            seq += 1
        print(seq, journal.hash_at(seq), flush=True)
"""


def test_every_acknowledged_event_survives_kill_9(tmp_path: Path) -> None:
    started_journal(tmp_path).close()
    rundir = RunDir(tmp_path / "runs" / "r1")
    chance = random.Random(20261122)
    acknowledged: list[tuple[int, str]] = []
    for kill in range(5):
        with python(APPENDING, rundir.path) as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 100)):
                seq, hash = child.stdout.readline().split()
                acknowledged.append((int(seq), hash))
            child.kill()
            for line in child.stdout.read().splitlines():
                if len(line.split()) == 2 and len(line.split()[1]) == 64:  # the last one may be cut
                    acknowledged.append((int(line.split()[0]), line.split()[1]))
        report = verify_run(rundir)
        assert report.ok, (kill, report.findings)
        assert report.events >= acknowledged[-1][0]
        assert report.checkpoints > 0
        assert live_owner(rundir) is None
    with Journal.open(rundir, readonly=True) as journal:
        assert [record.event.seq for record in journal.read()] == list(range(1, report.events + 1))
        assert all(journal.hash_at(seq) == hash for seq, hash in acknowledged)
        assert journal.meta.epoch == 6
    assert len(acknowledged) > 100


CREATING = """
import os, signal, sys
from pathlib import Path
from engine.journal.journal import Journal
from engine.journal.rundir import create_run_dir
from tests.journal.samples import PLAN, PLAN_HASH
def killing(call):
    def counted(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*arguments, **named)
    return counted
for step in range(100):
    pid = os.fork()
    if not pid:
        left = step
        for name in ("mkdir", "fsync", "rename", "pwrite", "open"):
            setattr(os, name, killing(getattr(os, name)))
        Journal.create(create_run_dir(Path(sys.argv[1], str(step)), "r1"), "r1", PLAN, PLAN_HASH)
        os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
        break
print(step, flush=True)
"""


def test_a_crash_at_any_step_of_creating_leaves_a_whole_journal_or_none(tmp_path: Path) -> None:
    with python(CREATING, tmp_path) as child:
        said, _ = child.communicate()
    outcomes = []
    for step in range(int(said)):
        try:
            with Journal.open(RunDir(tmp_path / str(step) / "runs" / "r1")) as journal:
                journal.append(task_events(1, 1))
            outcomes.append("whole")
        except NeverStarted:
            outcomes.append("none")
    assert {"whole", "none"} == set(outcomes)
    assert outcomes == sorted(outcomes)


STARVING = """
import resource, sys
from pathlib import Path
from engine.journal.errors import JournalFull
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir
from tests.journal.samples import task_events
journal = Journal.open(RunDir(Path(sys.argv[1])))
seq, _ = journal.head()
limit = journal.rundir.wal.stat().st_size + 30_000
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
refused = 0
while refused < 3:
    try:
        journal.append(task_events(seq + 1, 2))
        seq += 2
        print("appended", seq, flush=True)
    except JournalFull as error:
        assert journal.head()[0] == seq
        refused += 1
        print("full", seq, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append(task_events(seq + 1, 2))
print("appended", seq + 2, flush=True)
if sys.argv[2] == "close":
    journal.close()
else:
    import os
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["close", "kill"])
def test_without_room_nothing_is_lost_and_with_room_it_goes_on(tmp_path: Path, end: str) -> None:
    started_journal(tmp_path, events=50).close()
    rundir = RunDir(tmp_path / "runs" / "r1")
    with python(STARVING, rundir.path, end) as child:
        said, _ = child.communicate()
    lines = [line.split() for line in said.splitlines()]
    assert [word for word, _ in lines[-5:]] == ["appended", "full", "full", "full", "appended"]
    report = verify_run(rundir)
    assert report.ok
    assert report.events == int(lines[-1][1])


FULL_DURING_A_KILL = STARVING.replace("refused < 3", "refused < 1").replace(
    "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))", "import os; os.kill(os.getpid(), 9)"
)


def test_a_kill_while_there_is_no_room_loses_nothing_either(tmp_path: Path) -> None:
    started_journal(tmp_path, events=50).close()
    rundir = RunDir(tmp_path / "runs" / "r1")
    with python(FULL_DURING_A_KILL, rundir.path, "kill") as child:
        said, _ = child.communicate()
    with Journal.open(rundir) as journal:
        assert journal.head()[0] == int(said.split()[-1])


READING = """
import os, sys
from pathlib import Path
from engine.journal.errors import JournalUnreadable
from engine.journal.journal import Journal
from engine.journal.rundir import RunDir
folder = Path(sys.argv[1])
os.chmod(folder, 0o555)
if os.getuid() == 0:
    os.setuid(65534)
try:
    with Journal.open(RunDir(folder), readonly=True) as journal:
        print(sum(1 for _ in journal.read()))
except JournalUnreadable as error:
    print("unreadable", error.where)
"""


def test_a_read_only_directory_is_read_as_far_as_it_can_be() -> None:
    with TemporaryDirectory() as folder:  # open to the unprivileged user that the child becomes
        state = Path(folder)
        state.chmod(0o755)
        journal = started_journal(state, events=7)
        shutil.copytree(journal.rundir.path, state / "killed", ignore=shutil.ignore_patterns("*-shm"))
        journal.close()
        shutil.copytree(journal.rundir.path, state / "closed")
        for name, expected in (("closed", "7"), ("killed", f"unreadable {state}/killed/journal.db")):
            for file in (state / name).iterdir():
                file.chmod(0o755)
            with python(READING, state / name) as child:
                said, _ = child.communicate()
            (state / name).chmod(0o755)
            assert said.strip() == expected
