"""Very large plans, under limits of memory and processor time that the kernel keeps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.plan.errors import MAX_FINDINGS
from tests.cli.program import ENTRY, Program, Result
from tests.hostile.long import takes_long
from tests.hostile.refusal import assert_located, assert_no_control

MEMORY = 1024**3
"""Bytes of address space that `check` may take, for a plan of 100,000 tasks as well."""
CPU_S = 60
"""Seconds of processor time, ten times what the largest needs."""
LIMITED = (
    f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY})); "
    f"resource.setrlimit(resource.RLIMIT_CPU, ({CPU_S}, {CPU_S})); {ENTRY}"
)


def _check(program: Program, lines: Iterator[str]) -> tuple[Path, Result]:
    plan = program.folder / "plan.yaml"
    with plan.open("w") as file:
        file.write("wesley: 1\nname: heavy\ntasks:\n")
        file.writelines(lines)
    return plan, program.process("check", plan, "--json", entry=LIMITED)


def _tasks(number: int, extra: str = "") -> Iterator[str]:
    for n in range(number):
        yield f"- {{id: t{n}, run: {{shell: x}}{extra.format(n=n, other=n ^ 1, next=n + 1)}}}\n"


def test_a_hundred_thousand_tasks_with_a_mistake_at_the_end(program: Program) -> None:
    def lines() -> Iterator[str]:
        yield from _tasks(100_000)
        yield "- {id: last, run: {shell: x}, needs: [t0, t99999, t-99999]}\n"

    plan, result = _check(program, lines())
    (error,) = result.wants(2).json["errors"]
    assert_located(error, plan)
    assert (error["line"], error["column"]) == (100_004, 51)
    assert error["message"] == 'unknown task "t-99999"'
    assert error["hint"] == 'did you mean "t99999"?'


@takes_long
def test_a_hundred_thousand_tasks_in_order(program: Program) -> None:
    _, result = _check(program, _tasks(100_000))
    assert result.wants(0).json["plan"]["tasks"] == 100_000


@pytest.mark.parametrize(
    ("number", "extra", "said"),
    [
        (10_000, ", needs: [t-{n}]", "unknown task"),
        (10_000, ", needs: [t{other}]", "a cycle of 2 tasks"),
        (10_000, ", wave: w{n}, needs: [t{next}]", "which runs in wave"),
        (10_000, ", risk: 2, value: 0, effort: x, duration: 5", "out of range"),
        (10_000, ", {n}: 1, id: a", "duplicate key"),
    ],
)
def test_ten_thousand_mistakes_at_once(program: Program, number: int, extra: str, said: str) -> None:
    plan, result = _check(program, _tasks(number, extra))
    found = result.wants(2).json["errors"]
    assert 20 <= len(found) <= MAX_FINDINGS
    assert any(said in each["message"] for each in found)
    for each in found:
        assert_located(each, plan)
        assert_no_control(each["message"])
