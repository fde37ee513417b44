"""An operator without a screen: takes a run up again and answers its questions, as the console would."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from console.headless import carry_out
from engine.journal.rundir import RunDir
from engine.machine import reports as rep
from engine.machine.events import Event
from engine.machine.state import Question, State
from engine.runner.core import Runner
from engine.runner.opening import Options, resumed_run
from engine.runner.replanning import PlanDecision, keep_plan

Answer = Callable[[State, Question], tuple[str, str | None]]
"""What to answer to a question: action and mode."""


class Operator:
    """Watches a run, and answers each question once, as soon as it is durable."""

    def __init__(self, runner: Runner, answer: Answer) -> None:
        self._runner = runner
        self._answer = answer
        self._answered: set[int] = set()

    def watch(self, events: Sequence[Event]) -> None:
        state = self._runner.state
        for number, question in state.questions.items():
            if number not in self._answered and number <= events[-1].seq:
                self._answered.add(number)
                self._runner.report(decision(number, *self._answer(state, question)))

    def close(self) -> None:
        pass


def decision(question: int, action: Any, mode: Any = None) -> rep.Decide:
    return rep.Decide(question=question, action=action, mode=mode, actor="ann", reason="it was looked at")


def operated(state_dir: Path, run: str, answer: Answer, on_plan: PlanDecision = keep_plan) -> State:
    """Take run `run` up again, answer its questions, and carry it out; what it came to."""
    with resumed_run(RunDir(state_dir / "runs" / run), Options(actor="ann"), on_plan) as opened:
        return carry_out(opened, "ann", Operator(opened.runner, answer))
