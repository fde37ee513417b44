"""The documents hold what they say: examples load, tables agree with the code, links lead somewhere."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.exits import Exit
from engine.forecast.faults import load_faults
from engine.plan.load import LoadedPlan, load_plan
from engine.plan.models import FailureClass
from engine.plan.schema import plan_schema
from engine.tasks.exits import EXITS
from engine.tasks.ledger import TABLE
from engine.tasks.sqlite import FATAL, RESULTS

ROOT = Path(__file__).parents[1]
LANGUAGE = ROOT / "docs" / "plan-language.md"
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
KINDS = {"plan", "faults", "part"}
"""What a YAML block of the pages can be; `part` is one that does not stand alone."""

_BLOCK = re.compile(r"^```yaml(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]+)")
_ROW = re.compile(r"^\| (?P<first>[^|]+) \| (?P<second>[^|]+) \|$", re.MULTILINE)


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """(page and line, text) of the YAML blocks of `kind`."""
    for page in PAGES:
        text = page.read_text()
        for block in _BLOCK.finditer(text):
            if block["kind"].strip() == kind:
                yield f"{page.name}:{text.count(chr(10), 0, block.start()) + 1}", block["text"]


def loaded(folder: Path, text: str) -> LoadedPlan:
    path = folder / "plan.yaml"
    path.write_text(text)
    return load_plan(path)


@pytest.mark.parametrize("text", [pytest.param(text, id=where) for where, text in blocks("plan")])
def test_a_plan_in_the_pages_loads(text: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, text).plan.tasks


def test_the_faults_in_the_pages_fit_a_plan_in_the_pages(tmp_path: Path) -> None:
    plans = [loaded(tmp_path, text).plan for _, text in blocks("plan")]
    ((_, text),) = blocks("faults")
    faults = tmp_path / "faults.yaml"
    faults.write_text(text)
    named = set(re.findall(r"task: ([\w-]+)", text))
    (plan,) = [plan for plan in plans if named <= {task.id for task in plan.tasks}]
    assert len(load_faults(faults, plan).faults) == text.count("task:")


def test_every_yaml_block_says_what_it_is() -> None:
    kinds = {block["kind"].strip() for page in PAGES for block in _BLOCK.finditer(page.read_text())}
    assert kinds <= KINDS


def test_every_key_of_the_language_is_in_its_reference() -> None:
    schema = plan_schema()
    keys = {key for each in (schema, *schema["$defs"].values()) for key in each.get("properties", ())}
    prose = re.sub(r"^```.*?^```$", "", LANGUAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert keys - named == set()


def rows(page: Path) -> list[tuple[str, str]]:
    """The rows of the tables with two columns."""
    return [(row["first"].strip(), row["second"].strip()) for row in _ROW.finditer(page.read_text())]


def test_the_exit_codes_of_tasks_are_those_of_the_code() -> None:
    written = {
        int(code): second.lower()
        for first, second in rows(LANGUAGE)
        if second in (each.upper() for each in FailureClass if each is not FailureClass.UNKNOWN)
        for code in re.findall(r"\b\d+\b", first.partition(" if ")[0])
    }
    assert written.pop(137) == FailureClass.RESOURCE
    assert written == {code: found[0] for code, found in EXITS.items()}


def test_the_results_of_sqlite_are_those_of_the_code() -> None:
    written = {
        getattr(sqlite3, f"SQLITE_{name}"): second
        for first, second in rows(LANGUAGE)
        for name in re.findall(r"\b[A-Z]{4,}\b", first)
        if hasattr(sqlite3, f"SQLITE_{name}")
    }
    assert {code: said.partition(",")[0].lower() for code, said in written.items()} == {
        code: found[0] for code, found in RESULTS.items()
    }
    assert {code for code, said in written.items() if "the run stops" in said} == FATAL


def test_the_exit_codes_of_commands_are_those_of_the_code() -> None:
    written = [int(first) for first, _ in rows(ROOT / "docs" / "operating.md") if first.isdigit()]
    assert written == list(Exit)


def test_the_table_of_the_ledger_has_its_name() -> None:
    assert f"`{TABLE}`" in LANGUAGE.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    broken = [
        link["path"] for link in _LINK.finditer(page.read_text()) if not (page.parent / link["path"]).exists()
    ]
    assert broken == []


def test_the_gallery_is_the_one_that_its_command_makes() -> None:
    code = "import make_pictures; print(make_pictures.gallery(), end='')"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "gallery.md").read_text() == made.stdout
    shown = {f"{name}.svg" for name in re.findall(r"pictures/([\w-]+)\.svg", made.stdout)}
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == shown
