"""No message about a plan shows a password that stands in it, whatever the message is about."""

import json
from pathlib import Path

import pytest

from engine.plan.errors import PlanErrors, render
from engine.plan.load import load_plan
from engine.plan.passwords import hide_passwords

SECRET = "kr4ken-am-grund"
TASKS = "tasks: [{id: a, run: {simulate: {}}}]\n"


@pytest.mark.parametrize(
    "target",
    [
        f'{{postgres: "host=a password={SECRET} user=x", bogus: 3}}',
        f"{{postgres: \"host=a password='{SECRET} und {SECRET}'\", bogus: 3}}",
        f'{{postgrs: "postgresql://bob:{SECRET}@db/x"}}',
        f'"postgresql://bob:{SECRET}@db/x"',
        f'"postgresql://{"b" * 36}:{SECRET}{SECRET}@db/x"',  # cut in the middle of the password
        f'{{postgres: "postgresql://db/x?user=x&password={SECRET}&b=1", bogus: 1}}',
        f'{{postgres: "postgresql://bob:p@{SECRET}@db/x"}}',  # in order: the warning quotes its line
    ],
)
def test_no_message_shows_it(tmp_path: Path, target: str) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"wesley: 1\nname: p\ntargets:\n  main: {target}\n{TASKS}")
    try:
        findings = load_plan(plan).warnings
    except PlanErrors as errors:
        findings = errors.findings
    assert findings
    assert "[password]" in render(findings)
    assert SECRET not in render(findings)
    assert SECRET not in json.dumps([each.as_dict() for each in findings])


def test_the_caret_stays_under_what_is_meant(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f'wesley: 1\nname: p\ntargets:\n  main: {{postgres: "host=a password={SECRET}", bogus: 3}}\n{TASKS}'
    )
    with pytest.raises(PlanErrors) as refused:
        load_plan(plan)
    line, caret = refused.value.findings[0].place.excerpt().splitlines()
    assert line.index("bogus") == caret.index("^")


@pytest.mark.parametrize(
    "text", ["postgresql://me:${PW}@db/x", "host=a password=${PW}", "https://host/a@b:c"]
)
def test_variables_and_other_text_are_left_as_they_are(text: str) -> None:
    assert hide_passwords(text) == text
