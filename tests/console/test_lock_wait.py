"""The dialog about a wait for a lock: it acts on what it showed, and on nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from console.app import ConsoleApp
from console.recovery.interventions import offers
from console.screens.lock_wait import LockWaitDialog
from console.underway import PREPARED
from engine.machine import events as ev
from engine.machine import reports as rep
from tests.console import fixtures
from tests.console.fixtures import HOLDER, QUEUED, START
from tests.console.recovery_stage import StageApp
from tests.console.wait_stage import WAITS, Scene, said

Act = Callable[["Table"], Awaitable[None]]
REASON = "alice is at lunch"


class Table:
    """An operator before the dialog of `scene`."""

    def __init__(self, pilot: Pilot[None], scene: Scene) -> None:
        self.pilot = pilot
        self.scene = scene

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.look()

    async def look(self) -> None:
        """See what has happened meanwhile."""
        if self.is_open:
            self.dialog.refresh_view()
        await self.pilot.pause()

    async def pick(self, key: str) -> None:
        """Choose, and give a reason."""
        await self.press(key)
        await self.press(*("space" if char == " " else char for char in REASON), "enter")

    @property
    def is_open(self) -> bool:
        return isinstance(self.pilot.app.screen, LockWaitDialog)

    @property
    def dialog(self) -> LockWaitDialog:
        screen = self.pilot.app.screen
        assert isinstance(screen, LockWaitDialog)
        return screen

    @property
    def reports(self) -> list[object]:
        return [*self.scene.reports]

    @property
    def notice(self) -> str:
        return said(self.pilot, "#notice")

    @property
    def title(self) -> str:
        return str(self.dialog.query_one("#dialog").border_title)

    @property
    def asked(self) -> bool:
        """Whether something waits to be confirmed."""
        return bool(self.dialog.query_one("Confirm").display)


def at(act: Act, scene: Scene | None = None) -> Table:
    scene = scene or Scene()

    async def play() -> Table:
        async with StageApp().run_test(size=(100, 36)) as pilot:
            table = Table(pilot, scene)
            await pilot.app.push_screen(LockWaitDialog(scene.view, WAITS, actor="ana"))
            await pilot.pause()
            await act(table)
        return table

    return asyncio.run(play())


def asked(scene: Scene, action: ev.Intervention, blocker: ev.Blocker | None) -> rep.Intervene:
    return rep.Intervene(
        task=WAITS,
        attempt=1,
        action=action,
        pid=blocker.pid if blocker else 0,
        backend_started=blocker.started if blocker else "",
        actor="ana",
        reason=REASON,
        on_seq=scene.view.newest.seq,
    )


# -- what is shown ---------------------------------------------------------------------------------


def test_it_tells_who_blocks_whom_and_begins_with_who_keeps_everybody_waiting() -> None:
    async def act(table: Table) -> None:
        assert table.title == "backfill-customers waits for a lock on orders"
        assert said(table.pilot, "#branches").splitlines() == [
            "  └─ pid 5230 reports (metabase)  waiting itself for 1m40s (open 1m41s)",
            "▸    └─ pid 4711 alice (psql)  idle in transaction for 12m (open 14m)",
        ]
        assert said(table.pilot, "#query") == "last ran: UPDATE orders SET note = $1 WHERE id = $2"
        table.scene.controls.now += 60
        await table.look()
        assert "idle in transaction for 13m (open 15m)" in said(table.pilot, "#branches")

    at(act)


def test_escape_waits_on_and_changes_nothing() -> None:
    async def act(table: Table) -> None:
        await table.press("escape")
        assert not table.is_open

    assert at(act).reports == []


# -- what is done ----------------------------------------------------------------------------------


def test_ending_their_connection_takes_a_reason_and_another_key() -> None:
    async def act(table: Table) -> None:
        await table.press("t")
        assert table.asked
        await table.press("enter")
        assert table.notice == "A reason is needed: it is recorded with what is done."
        await table.press(*("space" if char == " " else char for char in REASON), "enter")
        await table.press("t", "enter")
        assert table.reports == [], "a key that is pressed twice does nothing"
        await table.press("y")
        assert table.notice == "Sent. The engine is doing it."
        await table.press("y")

    scene = Scene()
    assert at(act, scene).reports == [asked(scene, "terminate_backend", HOLDER)]


def test_ending_ones_own_attempt_names_no_backend() -> None:
    async def act(table: Table) -> None:
        await table.pick("c")
        await table.press("y")

    scene = Scene()
    assert at(act, scene).reports == [asked(scene, "cancel_own", None)]


@pytest.mark.parametrize("relation", ["", "orders"])
def test_ending_what_runs_in_no_transaction_is_not_called_a_rollback(relation: str) -> None:
    async def act(table: Table) -> None:
        if relation:  # what an attempt clears away before its statement has no intent yet
            statement = "CREATE INDEX CONCURRENTLY a ON orders (b)"
            table.scene.tell(ev.CommitIntended, attempt=1, part=1, parts=1, statement=statement)
        table.scene.tell(ev.LockWaitChanged, attempt=1, pid=9, relation=relation, blockers=(HOLDER,))
        await table.look()
        own = offers(table.dialog.shown, table.scene.view.state)[0]
        assert own.row == "it ends, and is cleared away; a question opens"
        assert "invalid index" in own.lines[0].names[0]

    at(act)


def test_where_nothing_runs_nothing_can_be_cancelled_and_what_can_be_done_is_said() -> None:
    async def act(table: Table) -> None:
        await table.press("s")
        assert table.notice == ("Not possible: no statement runs; t ends its connection.")
        assert not table.asked

    assert at(act).reports == []


def test_another_of_the_blockers_can_be_chosen() -> None:
    async def act(table: Table) -> None:
        await table.press("up", "up")
        await table.pick("s")
        assert table.asked
        await table.press("y")

    scene = Scene()
    assert at(act, scene).reports == [asked(scene, "cancel_backend", QUEUED)]


def test_escape_goes_back_from_the_confirmation_and_then_out() -> None:
    async def act(table: Table) -> None:
        await table.pick("t")
        await table.press("escape")
        assert table.is_open
        assert not table.asked
        await table.press("y")
        await table.press("escape")
        assert not table.is_open

    assert at(act).reports == []


# -- what has changed meanwhile --------------------------------------------------------------------


@pytest.mark.parametrize(
    "now",
    [
        replace(HOLDER, state="active", age_s=870.0, state_s=1.0),
        replace(HOLDER, age_s=1.0),
        replace(HOLDER, age_s=870.0, query="INSERT INTO payments VALUES ($1)"),
    ],
    ids=["it works", "another transaction", "another statement"],
)
def test_a_backend_that_has_changed_is_left_alone_until_it_was_read_again(now: ev.Blocker) -> None:
    async def act(table: Table) -> None:
        await table.pick("t")
        table.scene.blocked_by(now, after=30)
        await table.press("y")
        assert table.reports == []
        assert table.notice == "pid 4711 has changed meanwhile. Nothing was done: read it again."
        await table.press("y")

    scene = Scene(fixtures.lock_wait(HOLDER, now=14.4))
    assert at(act, scene).reports == [asked(scene, "terminate_backend", HOLDER)]


def test_the_passing_of_time_alone_is_no_change() -> None:
    async def act(table: Table) -> None:
        await table.pick("t")
        table.scene.blocked_by(replace(HOLDER, age_s=870.3, state_s=730.3), after=30)
        await table.press("y")

    scene = Scene(fixtures.lock_wait(HOLDER, now=14.4))
    assert at(act, scene).reports == [asked(scene, "terminate_backend", HOLDER)]


def test_a_backend_that_has_gone_is_not_replaced_by_the_next() -> None:
    async def act(table: Table) -> None:
        await table.pick("t")
        table.scene.blocked_by(replace(QUEUED, waits_for=()))
        await table.press("y", "y")
        assert table.notice == "pid 4711 does not block it any more. Nothing was done."
        assert not table.asked

    assert at(act).reports == []


def test_a_wait_that_is_over_is_said_and_takes_no_more_keys() -> None:
    async def act(table: Table) -> None:
        table.scene.blocked_by()
        await table.look()
        assert table.title == "backfill-customers waits no more"
        assert table.notice == "backfill-customers waits for no lock any more."
        await table.press("t", "c", "y")
        await table.press("escape")
        assert not table.is_open

    assert at(act).reports == []


def test_the_next_attempt_is_not_taken_for_this_one() -> None:
    async def act(table: Table) -> None:
        await table.pick("c")
        table.scene.tell(
            ev.TaskFailed, attempt=1, lane=2, failure_class="unknown", reason="it broke", rule="test"
        )
        table.scene.tell(ev.TaskReset, reason="retry")
        table.scene.tell(ev.TaskReady)
        table.scene.tell(ev.TaskStarted, attempt=2, lane=2)
        table.scene.tell(ev.LockWaitChanged, attempt=2, pid=9, relation="orders", blockers=(HOLDER,))
        await table.press("y")
        assert table.notice.endswith("backfill-customers waits for no lock any more.")

    assert at(act).reports == []


# -- what came of it -------------------------------------------------------------------------------


def test_a_refusal_of_the_engine_is_said() -> None:
    async def act(table: Table) -> None:
        await table.pick("t")
        await table.press("y")
        table.scene.tell(
            ev.InterventionRefused, action="terminate_backend", pid=4711, actor="ana", why="it has changed"
        )
        await table.look()
        assert table.notice == "Refused: it has changed. Nothing was done."
        assert not table.asked

    assert len(at(act).reports) == 1


def test_what_came_of_it_is_said_and_stays_when_the_wait_is_over() -> None:
    async def act(table: Table) -> None:
        await table.pick("t")
        await table.press("y")
        made = {"attempt": 1, "action": "terminate_backend", "pid": 4711}
        table.scene.tell(ev.InterventionMade, **made, actor="ana", on_seq=1)
        table.scene.tell(ev.InterventionEnded, **made, done=True, detail="its connection is ended")
        table.scene.blocked_by()
        await table.look()
        assert table.notice == (
            "Done: its connection is ended. backfill-customers waits for no lock any more."
        )

    at(act)


def test_an_attempt_that_was_ended_leads_to_its_question() -> None:
    async def act(table: Table) -> None:
        await table.pick("c")
        await table.press("y")
        table.scene.tell(ev.InterventionEnded, attempt=1, action="cancel_own", done=True, detail="it ends")
        table.scene.tell(
            ev.TaskFailed, attempt=1, lane=2, failure_class="unknown", reason="cancelled", rule="operator"
        )
        table.scene.tell(ev.QuestionOpened, about="failure", reason="cancelled")
        await table.look()
        assert table.notice == "Done: it ends. A question is open about it."

    at(act)


def test_while_our_attempt_is_being_ended_that_is_said_and_not_offered_again() -> None:
    async def act(table: Table) -> None:
        made = {"attempt": 1, "action": "cancel_own"}
        table.scene.tell(ev.InterventionMade, **made, actor="ana", on_seq=1)
        table.scene.tell(ev.InterventionEnded, **made, done=True, detail="it is being ended")
        await table.look()
        assert table.title == "backfill-customers is being ended, and waits for a lock on orders"
        rows = said(table.pilot, "#offers")
        assert "wait on           clears away what it left, once it gets the lock" in rows
        await table.press("c")
        assert not table.asked
        assert table.notice == "Not possible: asked for already: it is being ended."
        await table.press("t")
        assert table.asked, "what it waits for to clear away can still be taken out of its way"

    at(act)


def test_what_was_asked_for_is_offered_again_once_it_is_known_not_to_have_worked() -> None:
    async def act(table: Table) -> None:
        made = {"attempt": 1, "action": "terminate_backend", "pid": HOLDER.pid}
        table.scene.tell(ev.InterventionMade, **made, actor="ana", on_seq=1)
        await table.press("t")
        assert table.notice == "Not possible: asked for already: no end of it was seen yet."
        table.scene.tell(ev.InterventionEnded, **made, done=False, detail="it has not ended")
        await table.press("t")
        assert table.asked

    at(act)


@pytest.mark.parametrize(
    ("after", "gives_up"), [(0.0, "within 1m24s"), (60.0, "within 24s"), (600.0, "any moment")]
)
def test_it_tells_when_our_attempt_gives_up(after: float, gives_up: str) -> None:
    async def act(table: Table) -> None:
        table.scene.blocked_by(HOLDER, after=after)  # another try: the patience is that of all of them
        await table.look()
        assert f"tries on; gives up {gives_up} (lock_patience 2m)" in said(table.pilot, "#offers")

    at(act)


# -- whom nothing is done to -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocker", "why"),
    [
        (replace(HOLDER, own_task="fill-orgs"), "it is fill-orgs of this run"),
        (
            replace(HOLDER, pid=0, state=PREPARED, application="two-phase 17"),
            "it has no connection: COMMIT or ROLLBACK PREPARED 'two-phase 17' ends it",
        ),
        (
            replace(HOLDER, started="", state=""),
            "this role may not see enough of it (pg_read_all_stats)",
        ),
    ],
)
def test_what_cannot_be_done_says_why(blocker: ev.Blocker, why: str) -> None:
    async def act(table: Table) -> None:
        for key in ("s", "t"):
            await table.press(key)
            assert table.notice == f"Not possible: {why}."
        await table.press("c")
        assert table.asked

    assert at(act, Scene(fixtures.lock_wait(blocker))).reports == []


def test_one_who_waits_as_well_is_no_good_to_end() -> None:
    async def act(table: Table) -> None:
        await table.press("up", "t")
        assert "it waits itself, for pid 4711" in "".join(
            str(part.render()) for part in table.dialog.query("#lines .value")
        )

    at(act)


def test_several_waits_are_gone_through() -> None:
    async def act(table: Table) -> None:
        assert str(table.dialog.query_one("#dialog").border_subtitle) == "also waiting: backfill-orders"
        await table.press("n")
        assert table.title == "backfill-orders waits for a lock on customers"
        await table.press("n")
        assert table.title == "backfill-customers waits for a lock on orders"

    scene = Scene()
    scene.tell(
        ev.LockWaitChanged, task="backfill-orders", attempt=1, pid=7, relation="customers", blockers=(HOLDER,)
    )
    at(act, scene)


# -- in the console --------------------------------------------------------------------------------


def test_a_key_opens_it_for_whatever_waits_and_is_there_only_then() -> None:
    async def play() -> None:
        scene = Scene()
        app = ConsoleApp(scene.view, actor="ana", now=lambda: START)
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            assert app._may("lock_wait")
            await pilot.press("L")
            assert isinstance(app.screen, LockWaitDialog)
            await pilot.press("escape")
            scene.blocked_by()
            app.repaint_views()
            assert not app._may("lock_wait")
            await pilot.press("L")
            assert not isinstance(app.screen, LockWaitDialog)

    asyncio.run(play())


def test_what_came_of_it_is_told_where_the_dialog_was_left() -> None:
    async def play() -> None:
        scene = Scene()
        app = ConsoleApp(scene.view, actor="ana", now=lambda: START)
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            app._notice(
                ev.InterventionEnded(
                    seq=99,
                    t=1.0,
                    at=START,
                    task=WAITS,
                    attempt=1,
                    action="cancel_backend",
                    pid=4711,
                    done=False,
                    detail="backend 4711 had ended already",
                )
            )
            await pilot.pause()
            [note] = app._notifications
            assert (note.title, note.message) == (WAITS, "Not done: backend 4711 had ended already.")

    asyncio.run(play())


def test_a_record_offers_nothing_to_interfere_with() -> None:
    async def play() -> None:
        scene = Scene()
        app = ConsoleApp(scene.view, mode="inspect", actor="ana", now=lambda: START)
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.press("L")
            assert not isinstance(app.screen, LockWaitDialog)

    asyncio.run(play())
