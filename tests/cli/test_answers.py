"""`--on-unknown` and `--rollback-to`: standing answers to every question, and what comes of each."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program, Result, write_plan

UNDO = "rollback: {shell: 'echo -$WESLEY_TASK >> w'}"
DO = "echo +$WESLEY_TASK >> w"
CHAIN = f"""
  - {{id: one, run: {{shell: "{DO}"}}, {UNDO}}}
  - {{id: two, run: {{shell: "{DO}"}}, {UNDO}, needs: [one]}}
  - {{id: bad, run: {{shell: "{DO}; test $WESLEY_ATTEMPT -ge ${{GOOD:-99}}"}}, needs: [two]}}
  - {{id: beside, run: {{shell: "{DO}"}}, {UNDO}, needs: [two]}}
  - {{id: after, run: {{shell: "{DO}"}}, needs: [bad]}}
"""


class Stage:
    """The chain, in which `bad` fails in a way that tells nothing, until its attempt number GOOD."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.plan = write_plan(
            program.folder, CHAIN, retry="{attempts: 2, base: 1ms}", checkpoints="{progress: 40}"
        )

    def run(self, *flags: object, good: int = 99) -> Result:
        told = Program(self.program.folder, self.program.state, {"GOOD": str(good)})
        return told("run", self.plan, "--headless", "--run-id", "r", *flags)

    def resume(self, *flags: object, good: int = 99) -> Result:
        told = Program(self.program.folder, self.program.state, {"GOOD": str(good)})
        return told("resume", "r", "--headless", *flags)

    @property
    def did(self) -> list[str]:
        """What tasks did to the world, in order."""
        return (self.program.folder / "w").read_text().split()

    @property
    def statuses(self) -> dict[str, str]:
        return self.program.statuses("r")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.program.events("r") if event["kind"] == kind]

    @property
    def decided(self) -> list[str]:
        return [event["action"] for event in self.of("decision_made")]


@pytest.fixture
def stage(program: Program) -> Stage:
    return Stage(program)


def test_ask_leaves_the_question_once_nothing_is_in_flight(stage: Stage) -> None:
    stage.run("--on-unknown", "ask").wants(6)
    assert stage.statuses == {
        "one": "succeeded", "two": "succeeded", "bad": "failed", "beside": "succeeded", "after": "pending",
    }  # fmt: skip
    assert stage.program.inspect("r")["question"]["task"] == "bad"
    assert stage.decided == []


def test_retry_goes_on_where_an_attempt_succeeds_in_time(stage: Stage) -> None:
    stage.run("--on-unknown", "retry", good=3).wants(0)
    assert stage.decided == ["retry", "retry"]
    assert stage.did.count("+bad") == 3
    assert set(stage.statuses.values()) == {"succeeded"}


def test_retry_aborts_at_the_plans_limit(stage: Stage) -> None:
    stage.run("--on-unknown", "retry").wants(4)
    assert stage.decided == ["retry", "retry", "abort"]
    assert stage.did.count("+bad") == 3
    assert {decision["actor"] for decision in stage.of("decision_made")} == {"--on-unknown retry"}
    assert all(decision["reason"] for decision in stage.of("decision_made"))


def test_skip_blocks_what_depends_on_the_task_and_goes_on(stage: Stage) -> None:
    stage.run("--on-unknown", "skip").wants(3)
    assert stage.statuses == {
        "one": "succeeded", "two": "succeeded", "bad": "skipped", "beside": "succeeded", "after": "blocked",
    }  # fmt: skip


def test_abort_stops_resumable(stage: Stage) -> None:
    stage.run("--on-unknown", "abort").wants(4)
    assert stage.statuses["after"] == "pending"
    assert "+after" not in stage.did
    assert stage.resume("--on-unknown", "retry", good=2).wants(0)
    assert stage.did[:2] == ["+one", "+two"]
    assert sorted(stage.did[2:]) == ["+after", "+bad", "+bad", "+beside"]
    assert stage.did.index("+after") > stage.did[3:].index("+bad") + 3


@pytest.mark.parametrize(
    ("place", "undone"),
    [
        ("start", ["-beside", "-two", "-one"]),
        ("cp-0001", ["-beside"]),
        ("last", ["-beside"]),
    ],
)
def test_a_rollback_goes_where_it_is_sent(stage: Stage, place: str, undone: list[str]) -> None:
    stage.run("--on-unknown", "rollback", "--rollback-to", place).wants(5)
    assert [step for step in stage.did if step[0] == "-"] == undone
    (started,) = stage.of("rollback_started")
    assert started["to"] == ("start" if place == "start" else "cp-0001")
    assert [event["task"] for event in stage.of("task_rolled_back")] == [step[1:] for step in undone]


def test_what_was_rolled_back_runs_again_on_resume(stage: Stage) -> None:
    stage.run("--on-unknown", "rollback", "--rollback-to", "start").wants(5)
    stage.resume(good=2).wants(0)
    again = stage.did[stage.did.index("-one") + 1 :]
    assert again[:2] == ["+one", "+two"]
    assert sorted(again[2:]) == ["+after", "+bad", "+beside"]
    assert set(stage.statuses.values()) == {"succeeded"}


def test_a_checkpoint_that_never_came_ends_the_run_and_is_not_asked_for_twice(stage: Stage) -> None:
    stage.run("--on-unknown", "rollback", "--rollback-to", "cp-0999").wants(4)
    (refused,) = stage.of("decision_refused")
    assert "cp-0999" in refused["why"]
    stage.resume().wants(6)


def test_a_checkpoint_that_the_run_lacks_is_refused_when_it_is_resumed(stage: Stage) -> None:
    stage.run().wants(6)
    before = stage.program("events", "r").out
    refused = stage.resume("--on-unknown", "rollback", "--rollback-to", "cp-0999").wants(2)
    assert "cp-0999" in refused.err
    assert "cp-0001" in refused.err
    assert stage.program("events", "r").out == before


def test_a_resume_with_retry_tries_at_least_once_whatever_was_tried_before(stage: Stage) -> None:
    stage.run("--on-unknown", "retry").wants(4)
    stage.resume("--on-unknown", "retry").wants(4)
    assert stage.decided == ["retry", "retry", "abort", "retry", "abort"]
    assert stage.did.count("+bad") == 4
    stage.resume("--on-unknown", "retry", good=5).wants(0)


ANSWERS = [
    ("ask", 6, ["+one", "+two"]),
    ("retry", 0, ["+one", "+two", "+bad", "+after"]),
    ("skip", 3, ["+one", "+two"]),
    ("rollback", 5, ["+one", "+two", "-beside"]),
    ("abort", 4, ["+one", "+two"]),
]


@pytest.mark.parametrize(("answer", "code", "did"), ANSWERS, ids=[answer for answer, *_ in ANSWERS])
def test_each_answer_can_be_given_on_resume(stage: Stage, answer: str, code: int, did: list[str]) -> None:
    stage.run().wants(6)
    stage.resume("--on-unknown", answer, good=2).wants(code)
    assert [*stage.did[:2], *stage.did[4:]] == did
    engines = [event["engine"]["pid"] for event in stage.of("run_resumed") if event["cause"] == "engine"]
    assert len(engines) == 1


def test_a_question_can_be_left_open_again_and_again(stage: Stage) -> None:
    stage.run().wants(6)
    asked = stage.program.inspect("r")["question"]
    for _ in range(2):
        stage.resume().wants(6)
    assert stage.program.inspect("r")["question"] == asked
    assert len(stage.of("question_opened")) == 1
    stage.resume("--on-unknown", "retry", good=2).wants(0)


STAYS = f"""
  - {{id: one, run: {{shell: "{DO}"}}, {UNDO}}}
  - {{id: for-good, run: {{shell: "{DO}"}}, needs: [one]}}
  - {{id: bad, run: {{shell: "exit 64"}}, needs: [for-good], critical: true}}
"""


@pytest.mark.parametrize(
    ("answer", "code", "did"),
    [
        ("ask", 6, ["+one", "+for-good"]),
        ("rollback", 5, ["+one", "+for-good", "-one"]),
        ("skip", 3, ["+one", "+for-good"]),
        ("abort", 4, ["+one", "+for-good"]),
    ],
)
def test_a_rollback_past_what_cannot_be_undone_asks_first(
    program: Program, answer: str, code: int, did: list[str]
) -> None:
    plan = write_plan(program.folder, STAYS, checkpoints="{progress: 100}")
    program("run", plan, "--headless", "--run-id", "r", "--on-unknown", answer).wants(code)
    (asked,) = [event for event in program.events("r") if event["kind"] == "question_opened"]
    assert asked["about"] == "rollback_scope"
    assert "for-good" in asked["reason"]
    assert (program.folder / "w").read_text().split() == did


STUCK = f"""
  - {{id: one, run: {{shell: "{DO}"}}, {UNDO}}}
  - {{id: two, run: {{shell: "{DO}"}}, rollback: {{shell: "{DO}; test -e loose"}}, needs: [one]}}
  - {{id: bad, run: {{shell: "exit 64"}}, needs: [two], critical: true}}
"""


@pytest.fixture
def stuck(program: Program) -> Path:
    return write_plan(program.folder, STUCK, checkpoints="{progress: 100}")


def test_a_rollback_step_that_fails_asks_and_can_be_resumed(program: Program, stuck: Path) -> None:
    program("run", stuck, "--headless", "--run-id", "r").wants(6)
    assert program.inspect("r")["question"]["about"] == "rollback_step"
    (program.folder / "loose").touch()
    program("resume", "r", "--headless", "--on-unknown", "rollback").wants(5)
    assert (program.folder / "w").read_text().split() == ["+one", "+two", "+two", "+two", "-one"]
    assert program.statuses("r") == {"one": "rolled_back", "two": "rolled_back", "bad": "failed"}


def test_a_rollback_step_that_keeps_failing_aborts_and_can_still_be_left(
    program: Program, stuck: Path
) -> None:
    program("run", stuck, "--headless", "--run-id", "r", "--on-unknown", "rollback").wants(4)
    assert program.statuses("r")["two"] == "rolling_back"
    program("resume", "r", "--headless").wants(6)
    (program.folder / "loose").touch()
    program("resume", "r", "--headless", "--on-unknown", "rollback").wants(5)


def test_a_checkpoint_that_cannot_be_written_stops_a_run_that_nobody_watches(program: Program) -> None:
    spoil = f"rm -r {program.state}/runs/r/checkpoints; touch {program.state}/runs/r/checkpoints"
    plan = write_plan(
        program.folder,
        f"""
  - {{id: a, run: {{shell: "{spoil}"}}}}
  - {{id: b, run: {{shell: "true"}}, needs: [a], risk: 0.9}}
""",
    )
    result = program("run", plan, "--headless", "--run-id", "r").wants(6)
    assert "could not be written" in result.out
    assert program.statuses("r") == {"a": "succeeded", "b": "ready"}
    broken = program.state / "runs" / "r" / "checkpoints"
    broken.unlink()
    broken.mkdir()
    program("resume", "r", "--headless").wants(0)
