"""What the environment gives to targets appears in no journal, log, screen, error or process list."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.cli.program import Gate, Program, Result, await_event, ended, live, write_plan

PASSWORD = "kr4ken-am-grund"
URL = f"postgresql://owner:{PASSWORD}@db.internal:5432/shop"
FOLDER, FILE = "mandant-eins", "heimlich.db"
SECRETS = (PASSWORD, URL, FOLDER, FILE)
TARGETS = '{main: {postgres: "${SHOP_URL}"}, app: {sqlite: "${SHOP_FILE}"}}'
LEAKS = """\
import os

def returns():
    return {"url": os.environ["SHOP_URL"], os.environ["SHOP_FILE"]: [os.environ["SHOP_URL"]]}

def raises():
    raise SystemExit("cannot connect to " + os.environ["SHOP_URL"])
"""
TALKS = """\
  - {id: says, run: {shell: 'echo "$SHOP_URL"; echo "$SHOP_FILE" >&2; env'}}
  - {id: in-pieces, run: {shell: 'for x in $(echo "$SHOP_URL" | sed "s/./& /g"); do printf %s "$x"; done'}}
  - {id: returns, run: {python: "leaks:returns"}}
  - {id: raises, run: {python: "leaks:raises"}, classify: [{exit: 1, as: permanent}]}
  - {id: fails, run: {shell: 'echo "login $SHOP_URL refused"; exit 77'}}
  - {id: not-done, run: {shell: "true"}, verify: {shell: 'echo "no $SHOP_URL"; exit 1'}, needs: [says]}
  - {id: query, run: {sql: "SELECT count(*) FROM nowhere", on: app}}
  - {id: queries, run: {sql: "SELECT file FROM pragma_database_list", on: app}}
"""


@pytest.fixture
def knowing(program: Program) -> Program:
    """The program with secrets in its environment, and with tasks that would tell them."""
    (program.folder / FOLDER).mkdir()
    (program.folder / "leaks.py").write_text(LEAKS)
    return Program(program.folder, program.state, {"SHOP_URL": URL, "SHOP_FILE": f"{FOLDER}/{FILE}"})


def told(result: Result) -> list[str]:
    return [result.out, result.err]


def kept(state: Path) -> Iterator[tuple[Path, bytes]]:
    for path in state.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def assert_unknown(program: Program, *texts: str) -> None:
    """No secret is in `texts`, nor in any file of the state directory."""
    for secret in SECRETS:
        for text in texts:
            assert secret not in text
        found = [path for path, content in kept(program.state) if secret.encode() in content]
        assert not found


def test_tasks_that_tell_secrets_are_not_repeated(knowing: Program) -> None:
    plan = write_plan(knowing.folder, TALKS, targets=TARGETS)
    texts = told(knowing("check", plan).wants(0))
    for output in ("--headless", "--json"):
        texts += told(knowing("run", plan, output, "--run-id", output.strip("-")).wants(6))
        run = output.strip("-")
        for look in (["inspect", run, "--json"], ["events", run], ["checkpoint", run], ["verify", run]):
            texts += told(knowing(*look).wants(0))
    texts += told(knowing("resume", "json", "--headless", "--on-unknown", "abort").wants(4))
    texts += told(knowing("runs", "--json").wants(0))
    assert_unknown(knowing, *texts)
    # It is not that nothing was said: each secret has its name in its place.
    output = knowing.state / "runs/json/output"
    assert (output / "says/1-run.log").read_text().startswith("${SHOP_URL}\n${SHOP_FILE}\n")
    assert (output / "in-pieces/1-run.log").read_text() == "${SHOP_URL}"


def test_evidence_in_a_doubt_names_the_target_and_not_its_file(knowing: Program) -> None:
    tasks = '  - {id: a, run: {sql: "CREATE TABLE t (x)", on: app}}\n'
    plan = write_plan(knowing.folder, tasks, targets=TARGETS, defaults="{lock_timeout: 10m}")
    with closing(sqlite3.connect(knowing.folder / FOLDER / FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with live(knowing.spawn("run", plan, "--json", "--run-id", "r")) as child:
            await_event(child, "task_started")
            child.kill()
    result = knowing("resume", "r", "--json").wants(0)
    assert any(event["kind"] == "doubt_settled" for event in result.events)
    assert_unknown(knowing, *told(result))


@pytest.mark.parametrize(
    ("file", "flags"),
    [
        (f"{FOLDER}/{FILE}/below.db", []),
        (f"{FOLDER}/none/{FILE}", []),
        (f"{FOLDER}", []),
        (f"../{FOLDER}/{FILE}", []),
        (f"/nowhere/{FOLDER}/{FILE}", ["--allow-outside"]),
        (f"{FOLDER}{'x' * 300}", []),
    ],
)
def test_a_target_that_cannot_be_used_is_named_as_the_plan_writes_it(
    knowing: Program, file: str, flags: list[str]
) -> None:
    (knowing.folder / FOLDER / FILE).write_text("")
    plan = write_plan(knowing.folder, '  - {id: a, run: {sql: "SELECT 1", on: app}}\n', targets=TARGETS)
    program = Program(knowing.folder, knowing.state, {**knowing.environ, "SHOP_FILE": file})
    result = program("run", plan, "--headless", *flags).wants(2)
    assert "app" in result.err
    assert_unknown(program, *told(result))


def test_a_missing_variable_is_named_and_the_others_stay_unknown(knowing: Program) -> None:
    plan = write_plan(knowing.folder, TALKS, targets=TARGETS.replace("${SHOP_FILE}", "${SHOP_URL}${NONE}"))
    result = knowing("run", plan, "--headless").wants(2)
    assert "the environment has no NONE" in result.err
    assert_unknown(knowing, *told(result))


def test_no_command_line_holds_a_secret(knowing: Program) -> None:
    gate = Gate(knowing.folder)
    tasks = f'  - {{id: a, run: {{shell: "{gate.stop}"}}}}\n  - {{id: b, run: {{python: "leaks:returns"}}}}\n'
    plan = write_plan(knowing.folder, tasks, targets=TARGETS)
    with live(knowing.spawn("run", plan, "--json")) as child:
        gate.reached()
        engine = psutil.Process(child.pid)
        lines = [" ".join(each.cmdline()) for each in [engine, *engine.children(recursive=True)]]
        gate.open()
        ended(child).wants(0)
    assert any("read go" in line for line in lines)
    assert_unknown(knowing, *lines)
