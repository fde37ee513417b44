"""What the status line, the review and the summary say, without a screen."""

from datetime import timedelta

import pytest

from console.look import RUN, STATUS, TRIGGER, one_line
from console.outlook import Outlook, look_ahead
from console.review import bounds, checkpoint_rules, groups, irreversible, retry_rules, risky, target_text
from console.run_view import RunView
from console.status_line import fitted, moment_parts, rounded, status_parts
from console.summary import summarise
from engine.machine import reports as rep
from engine.machine.events import Trigger
from engine.machine.transitions import RunStatus, TaskStatus
from engine.plan.models import Target
from tests.console import fixtures
from tests.console.shell_stage import START, LiveRun, plan


def line(view: RunView, *, width: int = 300, finish_t: float | None = None, speed: float = 1.0) -> str:
    return fitted(status_parts(view, now=START, finish_t=finish_t, speed=speed), width).plain


def live(*, stop: bool = False) -> LiveRun:
    run = LiveRun()
    run.begin()
    run.succeed("a")
    if stop:
        run.report(rep.Stop(actor="ana", reason="lunch"))
    return run.taken_in()


# -- the look --------------------------------------------------------------------------------------


def test_every_status_and_trigger_has_its_own_mark() -> None:
    assert set(STATUS) == set(TaskStatus)
    assert set(RUN) == set(RunStatus)
    assert set(TRIGGER) == set(Trigger.__args__)  # type: ignore[attr-defined]
    assert len({mark.glyph for mark in STATUS.values()}) == len(STATUS)
    assert all(len(mark.glyph) == 1 for mark in (*STATUS.values(), *RUN.values(), *TRIGGER.values()))


def test_foreign_text_is_one_harmless_line() -> None:
    assert one_line("a\tb\r\nc  d") == "a b c d"
    assert one_line("x\x1b]0;boo\x07y\u202ez\x9b") == "x�]0;boo�y�z�"
    assert one_line("Größe ✓ 表") == "Größe ✓ 表"


# -- the status line -------------------------------------------------------------------------------


def test_a_run_that_goes_well() -> None:
    assert line(live().view, finish_t=1260) == (
        "▶ running · 1/5 settled · 2/2 lanes busy · done in about 20m · at 02:20 UTC · move house · r1"
    )


def test_a_narrow_line_keeps_what_matters_most() -> None:
    view = live().view
    assert line(view, finish_t=1260, width=60) == "▶ running · 1/5 settled · done in about 20m · at 02:20 UTC"
    assert line(view, finish_t=1260, width=30) == "▶ running · 1/5 settled"
    assert line(view, finish_t=1260, width=6) == "▶ run…"


def test_a_question_comes_first() -> None:
    assert line(fixtures.question_open(), width=80) == (
        "? 1 question · backfill-orders failed: exit 3 · r answers · 6/16 settled"
    )


def test_a_long_reason_is_cut_short_and_never_left_out() -> None:
    run = live()
    run.fail("b", "exit 1; it said: " + "the list changed while it was being read. " * 5)
    view = run.taken_in().view
    assert (
        line(view, width=77)
        == "? 1 question · b failed: exit 1; it said: the list… · r answers · 1/5 settled"
    )
    assert line(view, width=43) == "? 1 question · b failed: exit… · r answers"


def test_what_went_wrong_is_counted_by_word_and_glyph() -> None:
    text = line(fixtures.rolled_back())
    assert text.startswith("↩ rolled back in 36m · 12/16 settled · ✗ 1 failed · ↩ 2 rolled back")
    assert "support sees wrong totals" in text


def test_stopping_says_what_it_waits_for() -> None:
    assert line(live(stop=True).view, finish_t=660).startswith(
        "− stopping, 2 tasks running · 1/5 settled · 2/2 lanes busy · stops in about 10m"
    )


def test_a_paused_run_tells_work_and_no_time_of_day() -> None:
    run = live()
    run.report(rep.Pause(actor="ana"))
    text = line(run.taken_in().view, finish_t=1260)
    assert "about 20m of work left" in text
    assert "UTC" not in text
    assert "paused by ana" in text


def test_a_task_that_takes_longer_than_expected() -> None:
    assert "longer than expected" in line(live().view, finish_t=60)
    assert "longer" not in line(live().view, finish_t=60.4)  # the last moment of a task that is in time


def test_a_simulation_tells_its_speed_and_no_time_of_day() -> None:
    run = LiveRun()
    run.happens(rep.Begin(run="r1", plan_hash="", actor="ana", simulated=True))
    text = line(run.taken_in().view, finish_t=1200, speed=60)
    assert "done in about 20m · 20s at this speed" in text
    assert "UTC" not in text


def test_nothing_has_started() -> None:
    assert line(fixtures.empty()) == "· not started"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(7.4, 7), (59, 59), (94, 90), (1176, 1200), (9000, 9000), (9400, 9600), (43_000, 43_200)],
)
def test_expectations_are_not_told_to_the_second(seconds: float, told: float) -> None:
    assert rounded(seconds) == told


def test_the_moment_shown() -> None:
    view = fixtures.finished()
    assert fitted(moment_parts(view), 200).plain.startswith(
        "at the newest event, 65 · 2026-03-14 02:34:12 UTC"
    )
    view.show_past(4)
    assert fitted(moment_parts(view), 200).plain == (
        "◂ as of event 4 of 65 · 2026-03-14 02:00:00 UTC · 0s into the run · task ready create-statuses"
    )


# -- the outlook -----------------------------------------------------------------------------------


def test_the_outlook_starts_from_now_and_leaves_the_run_alone() -> None:
    run = live()
    before = run.view.newest.t
    outlook = look_ahead(run.view.newest.clone(), run.view.graph, before + 120)
    assert outlook.finish_t == 20 * 60 + 10 * 60 + 5 * 60
    assert {task for task, *_ in outlook.bars} == {"b", "c", "d", "e"}
    assert run.view.newest.t == before


def test_a_task_that_is_late_is_expected_to_end_now() -> None:
    run = live()
    outlook = look_ahead(run.view.newest.clone(), run.view.graph, 3600.0)
    assert outlook.finish_t == 3600 + 10 * 60 + 5 * 60


def test_nothing_is_expected_that_hangs_on_an_answer() -> None:
    run = live()
    run.view.expected = look_ahead(run.view.newest.clone(), run.view.graph, run.t)
    run.fail("b")
    view = run.taken_in().view
    assert view.outlook == Outlook()  # it presumed that nobody would be asked
    outlook = look_ahead(view.newest.clone(), view.graph, run.t)
    assert outlook.finish_t is None
    assert {task for task, *_ in outlook.bars} == {"c"}


# -- the review ------------------------------------------------------------------------------------


def test_tasks_are_told_by_phase_in_the_order_of_the_plan() -> None:
    assert [group[:2] for group in groups(fixtures.shop_plan())] == [
        ("expand", 4),
        ("backfill", 5),
        ("validate", 2),
        ("switch", 2),
        ("contract", 3),
    ]
    assert [group[:2] for group in groups(plan())] == [("no phase", 4), ("expand", 1)]


def test_risky_and_irreversible_tasks() -> None:
    assert [task.id for task in risky(plan())] == ["d"]
    assert [task.id for task in irreversible(plan())] == ["d", "e"]


def test_rules_in_words() -> None:
    changed = plan(
        retry={"attempts": 6, "base": "2s", "cap": "10s"}, checkpoints={"every": "10m", "phases": False}
    )
    assert retry_rules(changed) == "6 retries of what may pass, after 4s, 8s, 10s, 10s …"
    assert retry_rules(plan(retry={"attempts": 0})) == "no automatic retries"
    assert (
        checkpoint_rules(changed) == "every 10m, at each 25 % of the tasks, before tasks of risk 0.7 or more"
    )


@pytest.mark.parametrize(
    ("conninfo", "shown"),
    [
        ("${DATABASE_URL}", "${DATABASE_URL} (DATABASE_URL is not set)"),
        ("${DATABASE_URL:-host=db password=s3cret}", "host=db password=••• (DATABASE_URL is not set)"),
        ("postgres://app:s3cret@db/shop", "postgres://app:•••@db/shop"),
        ("postgres://app:${PW}@db/shop", "postgres://app:${PW}@db/shop"),
        ("host=db user=app password=s3cret dbname=shop", "host=db user=app password=••• dbname=shop"),
        ("host=db password='s3 c\\'ret' dbname=shop", "host=db password=••• dbname=shop"),
        ("postgres://db/shop?user=app&password=s3cret&x=1", "postgres://db/shop?user=app&password=•••&x=1"),
    ],
)
def test_a_target_never_shows_a_password(conninfo: str, shown: str) -> None:
    assert target_text(Target(postgres=conninfo), {"PW": "s3cret"}) == f"PostgreSQL {shown}"


def test_an_embedded_server_is_shown_as_what_it_is() -> None:
    assert target_text(Target(postgres="embedded"), {}) == "PostgreSQL, a private server started for the run"


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({}, "PostgreSQL, embedded (SHOP_DATABASE is not set)"),
        ({"SHOP_DATABASE": ""}, "PostgreSQL, embedded (SHOP_DATABASE is not set)"),
        ({"SHOP_DATABASE": "embedded"}, "PostgreSQL, embedded as SHOP_DATABASE says"),
        ({"SHOP_DATABASE": "host=db password=s3cret"}, "PostgreSQL named by SHOP_DATABASE"),
    ],
)
def test_which_database_a_variable_leads_to_is_told_before_the_start(
    environ: dict[str, str], shown: str
) -> None:
    assert target_text(Target(postgres="${SHOP_DATABASE:-embedded}"), environ) == shown


def test_no_run_is_shorter_than_its_bounds() -> None:
    assert bounds(LiveRun().view.graph, lanes=2) == timedelta(minutes=35).total_seconds()
    assert bounds(LiveRun().view.graph, lanes=1) == timedelta(minutes=55).total_seconds()


# -- the summary -----------------------------------------------------------------------------------


def test_a_run_that_succeeded_needs_no_resume() -> None:
    summary = summarise(fixtures.finished())
    assert (summary.meaning, summary.resume) == ("Every task succeeded.", "")


def test_what_is_done_on_an_operators_word_alone_is_named() -> None:
    run = live()
    run.fail("b")
    question = min(run.machine.state.questions)
    run.report(rep.Decide(question=question, action="skip", mode="assert_done", actor="ana"))
    run.succeed("c")
    run.succeed("d")
    run.succeed("e")
    summary = summarise(run.taken_in().view)
    told = {line.label: line.text for line in summary.lines}
    assert summary.meaning == "Every task is done."
    assert (told["succeeded"], told["on word alone"]) == ("5 of 5 tasks", "1: b")


def test_an_aborted_run_tells_how_to_go_on() -> None:
    run = live(stop=True)
    run.succeed("b", "c")
    summary = summarise(run.taken_in().view)
    assert summary.resume == "wesley-console resume r1"
    assert "can be resumed. Reason: lunch." in summary.meaning
    told = {line.label: line.text for line in summary.lines}
    assert (told["succeeded"], told["exit code"]) == ("3 of 5 tasks", "4")


def test_a_run_with_skipped_tasks_says_that_not_every_task_ran() -> None:
    run = live()
    run.fail("b")
    run.succeed("c")
    question = min(run.machine.state.questions)
    run.report(rep.Decide(question=question, action="skip", mode="subtree", actor="ana"))
    summary = summarise(run.taken_in().view)
    told = {line.label: line.text for line in summary.lines}
    assert "not every task ran" in summary.meaning
    assert (told["skipped"], told["blocked"], told["decisions"]) == ("1: b", "2: d, e", "1")
