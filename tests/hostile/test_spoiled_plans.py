"""A plan in order, spoiled at every key in turn: each mistake is told with its place, and nothing starts."""

from collections.abc import Iterator

import pytest

from engine.plan.schema import plan_schema
from tests.cli.program import Program
from tests.hostile.good_plan import GOOD, entries, good_folder
from tests.hostile.refusal import not_started, told_by_check
from tests.hostile.spoiled import given_twice, misspelt, of_the_wrong_type

FAMILIES = {"misspelt": misspelt, "given twice": given_twice, "of the wrong type": of_the_wrong_type}
CASES = {f"{name}: {case}": spoiled for name, family in FAMILIES.items() for case, spoiled in family()}


def test_the_good_plan_is_in_order_and_has_every_key_of_the_language(program: Program) -> None:
    plan = good_folder(program.folder) / "plan.yaml"
    plan.write_text(GOOD)
    program("check", plan).wants(0)
    known = set(_keys(plan_schema()))
    assert known
    assert known <= {entry.key for entry in entries()}


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 500


@pytest.mark.parametrize("case", CASES)
def test_spoiled(program: Program, case: str) -> None:
    spoiled = CASES[case]
    plan = good_folder(program.folder) / "plan.yaml"
    plan.write_text(spoiled.text)
    told = not_started(program, plan) if case.startswith("misspelt") else told_by_check(program, plan)
    place = f"{plan}:{spoiled.line}:{spoiled.column}: "
    here = [each for each in told.split(f"{plan}:") if f"{plan}:{each}".startswith(place)]
    assert any(spoiled.said in each and spoiled.hint in each for each in here), told


def _keys(schema: object) -> Iterator[str]:
    """Every key that the JSON Schema knows by name."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for each in schema.values():
            yield from _keys(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _keys(each)
