"""What an attempt tells while it runs, and what an operator may do about it: exactly what was shown."""

from typing import Any, Self

import pytest
from msgspec.structs import replace

from engine.machine import commands as cmd
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.machine.underway import left_s, rate
from engine.plan.models import Action, Backfill, FailureClass, Plan
from tests.machine.plans import plan, task
from tests.machine.world import World

BEGAN = "2026-03-14T01:48:00.000000+00:00"
HOLDER = ev.Blocker(pid=4711, started=BEGAN, user="alice", state="idle in transaction", age_s=720.0)
SIBLING = ev.Blocker(pid=4712, started=BEGAN, own_task="b")
BACKFILL = Action(backfill=Backfill(table="orders", key="id", sql="UPDATE orders …"), on="app")


class Asking(World):
    """Keeps the commands about attempts that are under way, too."""

    def __init__(self, of: Plan) -> None:
        self.heard: list[cmd.Command] = []
        self.started: dict[str, cmd.StartTask] = {}
        super().__init__(of)

    def _take(self, command: cmd.Command) -> None:
        if isinstance(command, cmd.GoOn | cmd.Intervene | cmd.Adjust):
            self.heard.append(command)
        if isinstance(command, cmd.StartTask):
            self.started[command.task] = command
        super()._take(command)

    def blocked_by(self, *blockers: ev.Blocker, task: str = "a", **fields: Any) -> Self:
        known: dict[str, Any] = {
            "task": task,
            "attempt": 1,
            "pid": 99,
            "relation": "orders",
            "blockers": blockers,
        }
        return self.report(rep.LockWaitSeen(**known | fields))

    def intervene(self, action: ev.Intervention = "terminate_backend", **fields: Any) -> Self:
        """An operator who has seen all events so far; `fields` say what was different."""
        known: dict[str, Any] = {
            "task": "a",
            "attempt": 1,
            "action": action,
            "pid": HOLDER.pid,
            "backend_started": HOLDER.started,
            "actor": "ann",
            "reason": "nobody is at that desk",
            "on_seq": self.state.seq,
        }
        return self.report(rep.Intervene(**known | fields))

    def ended(self, *, done: bool) -> Self:
        [*_, asked] = self.heard
        assert isinstance(asked, cmd.Intervene)
        fields = {name: getattr(asked, name) for name in ("task", "attempt", "action", "pid")}
        return self.report(rep.Intervened(**fields, done=done, detail="seen"))

    @property
    def refusals(self) -> list[str]:
        return [event.why for event in self.of(ev.InterventionRefused)]


@pytest.fixture
def run() -> Asking:
    """`a` and `b` are in flight, `c` is a backfill that needs `a`; `a` waits for alice."""
    tasks = task("a"), task("b"), task("c", "a").model_copy(update={"run": BACKFILL})
    return Asking(plan(*tasks, workers=2)).blocked_by(HOLDER, SIBLING)


# -- what is told ----------------------------------------------------------------------------------


def test_a_wait_is_known_until_it_is_over(run: Asking) -> None:
    wait = run.state.tasks["a"].underway.lock_wait
    assert wait is not None
    assert (wait.relation, wait.blockers) == ("orders", (HOLDER, SIBLING))
    run.blocked_by()
    assert run.kinds == ["lock_wait_changed"]
    assert run.state.tasks["a"].underway.lock_wait is None
    run.blocked_by()
    assert run.kinds == []


def test_what_an_attempt_tells_after_its_end_is_not_recorded(run: Asking) -> None:
    run.fail("a").decide("retry").blocked_by(HOLDER)
    assert run.kinds == []
    assert run.state.tasks["a"].underway.lock_wait is None
    run.blocked_by(HOLDER, attempt=2)
    assert run.kinds == ["lock_wait_changed"]


def test_a_rate_is_one_of_the_same_thing(run: Asking) -> None:
    def tell(done: int, **fields: Any) -> tuple[int, int]:
        known: dict[str, Any] = {"task": "b", "attempt": 1, "done": done, "total": 900, "unit": "blocks"}
        run.report(rep.Progressed(**known | fields))
        underway = run.state.tasks["b"].underway
        assert underway.progress and underway.progress_from
        return underway.progress_from.done, underway.progress.done

    assert [tell(10), tell(300), tell(900)] == [(10, 10), (10, 300), (10, 900)]
    assert tell(950, unit="tuples") == (950, 950)
    assert tell(990, unit="tuples", held="replication lag 12s") == (950, 990)
    assert tell(5, unit="tuples") == (5, 5)


def telling(run: Asking, *told: tuple[float, int], task: str = "b", held: str = "") -> float | None:
    """The rate after `told`: rows that are done, each at its moment."""
    for run.t, done in told:
        run.report(rep.Progressed(task=task, attempt=1, done=done, total=10_000, unit="rows", held=held))
    return rate(run.state.tasks[task].underway)


def test_a_rate_follows_what_has_changed_lately(run: Asking) -> None:
    assert telling(run, (0, 0), (2, 200)) is None, "too soon to tell"
    assert telling(run, *((t, 100 * t) for t in range(3, 61))) == 100
    slower = [(t, 6000 + 10 * (t - 60)) for t in range(61, 102)]
    assert telling(run, *slower) == 10


def test_a_rate_leaves_out_the_time_for_which_it_was_held_back(run: Asking) -> None:
    assert telling(run, (0, 0), (10, 1000)) == 100
    assert telling(run, (10, 1000), held="replication lag 12s") == 100
    assert left_s(run.state.tasks["b"].underway, 10.0) is None
    assert telling(run, (500, 1000)) is None
    assert telling(run, (510, 2000)) == 100
    assert left_s(run.state.tasks["b"].underway, 510.0) == 80
    assert left_s(run.state.tasks["b"].underway, 530.0) == 60
    assert left_s(run.state.tasks["b"].underway, 999.0) == 0


def test_a_rate_begins_anew_when_an_operator_has_changed_the_pace(run: Asking) -> None:
    run.succeed("a")
    assert telling(run, (10, 0), (20, 1000), task="c") == 100
    run.report(rep.Adjust(task="c", batch=50, actor="ann"))
    assert rate(run.state.tasks["c"].underway) is None
    assert telling(run, (30, 1100), task="c") == 10


def test_an_intent_goes_on_once_and_only_while_its_attempt_is_in_flight(run: Asking) -> None:
    intent = rep.CommitIntended(task="b", attempt=1, part=2, parts=3, statement="ALTER", xid="7")
    assert run.report(intent).heard == [cmd.GoOn(task="b", attempt=1, part=2)]
    run.succeed("b").report(intent)
    assert (run.kinds, len(run.heard)) == ([], 1)


# -- interventions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["cancel_backend", "terminate_backend"])
def test_an_intervention_is_recorded_and_then_made(run: Asking, action: ev.Intervention) -> None:
    seen = run.state.seq
    run.intervene(action)
    [made] = run.of(ev.InterventionMade)
    assert (made.actor, made.reason, made.on_seq) == ("ann", "nobody is at that desk", seen)
    assert (made.pid, made.backend_started) == (HOLDER.pid, HOLDER.started)
    assert run.heard == [
        cmd.Intervene(task="a", attempt=1, action=action, pid=HOLDER.pid, backend_started=HOLDER.started)
    ]
    run.ended(done=True)
    assert run.kinds == ["intervention_ended"]
    assert run.statuses()["a"] == "running", "what comes of it, the attempt itself tells"


def test_ending_ones_own_attempt_needs_no_blocker(run: Asking) -> None:
    run.blocked_by().intervene("cancel_own", pid=0, backend_started="")
    assert run.heard == [cmd.Intervene(task="a", attempt=1, action="cancel_own")]
    run.fail("a", rule="operator: cancelled")
    assert run.question.task == "a"


def test_a_backend_that_blocks_no_more_is_left_alone(run: Asking) -> None:
    assert run.blocked_by(SIBLING).intervene().refusals == ["pid 4711 does not block a any more"]
    assert run.blocked_by().intervene().refusals[1:] == ["pid 4711 does not block a any more"]
    assert run.heard == []


def test_another_backend_with_its_number_is_left_alone(run: Asking) -> None:
    run.blocked_by(replace(HOLDER, started="2026-03-14T02:00:00.000000+00:00")).intervene()
    assert run.refusals == ["pid 4711 does not block a any more"]
    assert run.heard == []


def test_what_has_changed_since_it_was_seen_is_left_alone(run: Asking) -> None:
    seen = run.state.seq
    run.blocked_by(replace(HOLDER, state="active", query="UPDATE payroll SET paid = $1")).intervene(
        on_seq=seen
    )
    assert run.refusals == ["what blocks a has just changed: look again"]
    assert run.heard == []
    run.intervene()
    assert len(run.heard) == 1


def test_what_happens_elsewhere_meanwhile_changes_nothing(run: Asking) -> None:
    seen = run.state.seq
    run.report(rep.Progressed(task="b", attempt=1, done=1, unit="rows")).intervene(on_seq=seen)
    assert (run.refusals, len(run.heard)) == ([], 1)


def test_a_backend_of_this_run_is_left_alone(run: Asking) -> None:
    run.intervene(pid=SIBLING.pid)
    assert run.refusals == ["pid 4712 works for b of this run"]
    assert run.heard == []


@pytest.mark.parametrize("action", ["cancel_own", "cancel_backend", "terminate_backend"])
def test_an_attempt_that_has_ended_is_not_confused_with_the_next(
    run: Asking, action: ev.Intervention
) -> None:
    run.fail("a").intervene(action).decide("retry").blocked_by(HOLDER, attempt=2).intervene(action)
    assert run.refusals == ["attempt 1 at a is not running any more"] * 2
    assert run.heard == []


def test_nor_is_it_confused_with_its_rollback(run: Asking) -> None:
    run.succeed("a", "b")
    run.decide("rollback", question=0, to="start").cancel("c")
    assert run.state.in_flight == ["b"]
    run.undo("b")
    assert run.jobs == {("a", "rollback"): 1}
    run.blocked_by(HOLDER, purpose="rollback").intervene().intervene("cancel_own")
    assert run.refusals == ["attempt 1 at a is not running any more"] * 2
    run.intervene(purpose="rollback")
    assert run.heard[-1:] == [
        cmd.Intervene(
            task="a",
            attempt=1,
            purpose="rollback",
            action="terminate_backend",
            pid=HOLDER.pid,
            backend_started=HOLDER.started,
        )
    ]


def test_it_is_not_made_twice_until_it_has_ended(run: Asking) -> None:
    run.intervene().intervene()
    assert run.refusals == ["it has been asked for already"]
    assert len(run.heard) == 1
    run.ended(done=False).intervene()
    assert len(run.heard) == 2


def test_nothing_is_done_once_the_run_has_ended(run: Asking) -> None:
    run.finish_everything().intervene().report(rep.Adjust(task="c", actor="ann"))
    assert run.state.status == "completed"
    assert run.refusals == ["the run is completed"] * 2


def test_a_new_engine_knows_what_the_old_one_was_told(run: Asking) -> None:
    run.intervene().die()
    made = run.state.tasks["a"].underway.intervention
    assert isinstance(made, ev.InterventionMade)
    assert made.actor == "ann"


# -- adjusting a backfill --------------------------------------------------------------------------


def test_what_was_set_holds_for_the_attempt_in_flight_and_for_later_ones(run: Asking) -> None:
    run.succeed("a")
    run.report(rep.Adjust(task="c", batch=200, pause_s=0.5, held=True, actor="ann"))
    [adjusted] = run.of(ev.TaskAdjusted)
    assert run.heard == [cmd.Adjust(adjusted=adjusted)]
    assert run.state.tasks["c"].adjusted == adjusted
    started: list[cmd.StartTask] = []
    take = run._take

    def note(command: cmd.Command) -> None:
        if isinstance(command, cmd.StartTask):
            started.append(command)
        take(command)

    run._take = note  # type: ignore[method-assign]
    run.fail("c", FailureClass.UNKNOWN).decide("retry")
    assert [command.adjusted for command in started] == [adjusted]


@pytest.mark.parametrize(("name", "why"), [("a", "a is no backfill"), ("gone", "the plan has no such task")])
def test_only_a_backfill_can_be_adjusted(run: Asking, name: str, why: str) -> None:
    run.report(rep.Adjust(task=name, batch=5, actor="ann"))
    assert run.refusals == [why]
    assert run.heard == []


def test_attempts_whose_ground_a_rollback_took_away_are_stranded_until_an_operator_retries() -> None:
    of = plan(task("a"), task("b", "a"), task("c"), task("d", "b"))
    run = Asking(of).succeed("a").fail("b").fail("c").decide("rollback", to="start").finish_everything()
    assert run.state.status == "rolled_back"
    stranded = {each.id: each.stranded_attempts for each in run.state.tasks.values()}
    assert stranded == {"a": 1, "b": 1, "c": 0, "d": 0}
    run.resume().succeed("a")
    assert (run.started["b"].attempt, run.started["b"].undone, run.started["b"].stranded) == (2, 1, 1)
    run.fail("b").decide("retry")
    assert (run.started["b"].attempt, run.started["b"].undone, run.started["b"].stranded) == (3, 1, 0)
