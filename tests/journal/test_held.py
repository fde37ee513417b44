"""While something is written beside the journal, nobody takes the run over; and not after that, either."""

from pathlib import Path

import pytest

from engine.journal.errors import Fenced, JournalBusy
from engine.journal.journal import Journal
from tests.journal.samples import started_journal, task_events


def test_a_held_run_cannot_be_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.journal.store.BUSY_TIMEOUT_S", 0.05)
    with started_journal(tmp_path) as journal:
        with journal.held(), pytest.raises(JournalBusy):
            Journal.open(journal.rundir)
        journal.append(task_events(2, 1))
        Journal.open(journal.rundir).close()


def test_a_run_that_was_taken_over_is_not_held(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal:
        Journal.open(journal.rundir).close()
        with pytest.raises(Fenced), journal.held():
            pytest.fail("it is not ours any more")


def test_what_goes_wrong_while_it_is_held_harms_nothing(tmp_path: Path) -> None:
    with started_journal(tmp_path) as journal:
        with pytest.raises(ZeroDivisionError), journal.held():
            raise ZeroDivisionError
        journal.append(task_events(2, 1))
        assert journal.head()[0] == 2
