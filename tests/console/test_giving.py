"""What the console gives out: all of an output, copies for the clipboard, new files."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from console.app import ConsoleApp
from console.export import CLIPBOARD_BYTES, Export, file_name, save_new
from console.run_view import RunView
from console.screens.output import OutputLines, OutputScreen
from console.screens.saving import SaveDialog
from tests.console import fixtures

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 14, 2, 15, tzinfo=UTC)
TASK = "backfill-orders"


@asynccontextmanager
async def desk(view: RunView, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[None]]:
    """The inspector on `view`, with the task panel in focus and the task selected."""
    app = ConsoleApp(view, mode="inspect", now=lambda: NOW)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.run_screen.select_task(TASK)
        await pilot.press("5")
        await pilot.pause()
        yield pilot


def seen(pilot: Pilot[None]) -> list[str]:
    lines = pilot.app.screen.query_one(OutputLines)
    return [lines.render_line(y).text.rstrip() for y in range(lines.room.height)]


def told(pilot: Pilot[None]) -> str:
    return "\n".join(toast.message for toast in pilot.app._notifications)


def numbered(count: int) -> list[str]:
    return [f"line {number}" for number in range(count)]


async def test_output_is_followed_until_one_scrolls_away_and_again_from_its_end() -> None:
    lines = numbered(100)
    async with desk(fixtures.midway().view(lines={(TASK, 1): lines})) as pilot:
        await pilot.press("o")
        screen = pilot.app.screen
        assert isinstance(screen, OutputScreen)
        assert seen(pilot)[-1] == "line 99"
        lines.append("line 100")
        screen.refresh_view()
        await pilot.pause()
        assert seen(pilot)[-1] == "line 100"
        await pilot.press("pageup")
        await pilot.wait_for_animation()
        held = seen(pilot)
        assert "of 101" in str(screen.query_one("#output-frame").border_subtitle)
        lines.append("line 101")
        screen.refresh_view()
        await pilot.pause()
        assert seen(pilot) == held
        await pilot.press("end")
        await pilot.wait_for_animation()
        assert seen(pilot)[-1] == "line 101"


async def test_output_is_searched_from_its_end_and_both_ways() -> None:
    lines = numbered(3000)
    async with desk(fixtures.midway().view(lines={(TASK, 1): lines})) as pilot:
        await pilot.press("o", "slash", *"LINE 10", "enter")
        await pilot.app.workers.wait_for_complete()
        found = pilot.app.screen.query_one(OutputLines)
        assert found.found == 1099
        assert "line 1099" in seen(pilot)
        await pilot.press("N")
        await pilot.app.workers.wait_for_complete()
        assert found.found == 1098
        await pilot.press("n", "n")
        await pilot.app.workers.wait_for_complete()
        assert "not found after this" in told(pilot)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, OutputScreen)


async def test_escape_leaves_the_search_first() -> None:
    async with desk(fixtures.midway().view(lines={(TASK, 1): numbered(3)})) as pilot:
        await pilot.press("o", "slash", "x", "escape")
        assert isinstance(pilot.app.screen, OutputScreen)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, OutputScreen)


async def test_hostile_output_stays_text() -> None:
    lines = ["[red]not markup[/red]", "a\u202eb\x07c", "漢" * 200]
    async with desk(fixtures.midway().view(lines={(TASK, 1): lines})) as pilot:
        await pilot.press("o")
        assert seen(pilot)[0] == "[red]not markup[/red]"
        assert not any(char in line for line in seen(pilot) for char in "\x07\u202e")


async def test_an_output_is_copied_from_its_end_where_it_is_long() -> None:
    lines = [f"{number:099}" for number in range(2000)]
    async with desk(fixtures.midway().view(lines={(TASK, 1): lines})) as pilot:
        await pilot.press("o", "y")
        copied = pilot.app.clipboard.splitlines()
        assert copied == lines[-len(copied) :]
        assert CLIPBOARD_BYTES - 100 <= 100 * len(copied) <= CLIPBOARD_BYTES
        assert f"the last {len(copied)} of 2000 lines" in told(pilot)


async def test_the_task_is_copied_whole() -> None:
    async with desk(fixtures.midway().view(lines={(TASK, 1): numbered(300)}), (80, 24)) as pilot:
        await pilot.press("y")
        copied = pilot.app.clipboard
        assert TASK in copied.splitlines()[0]
        assert all(line in copied.splitlines() for line in numbered(300))


@pytest.mark.parametrize("panel", "1234")
async def test_every_panel_can_be_copied(panel: str) -> None:
    async with desk(fixtures.midway().view()) as pilot:
        await pilot.press(panel, "y")
        assert pilot.app.clipboard.strip()


async def test_saving_asks_for_a_name_and_never_writes_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with desk(fixtures.midway().view(lines={(TASK, 1): numbered(300)})) as pilot:
        await pilot.press("o", "w")
        field = pilot.app.screen.query_one(Input)
        saved = Path(field.value)
        assert saved.parent == tmp_path
        save_new(saved, lambda file: file.write(b"mine") and None)
        await pilot.press("enter")
        await pilot.pause()
        assert "exists already" in str(pilot.app.screen.query_one("#saving-problem", Static).content)
        field.value = str(tmp_path / "missing" / "x.txt")
        await pilot.press("enter")
        await pilot.pause()
        assert "No such file" in str(pilot.app.screen.query_one("#saving-problem", Static).content)
        field.value = str(tmp_path / "new.txt")
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, SaveDialog)
        assert (tmp_path / "new.txt").read_text().splitlines() == numbered(300)
        assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / saved.name).read_bytes() == b"mine"


async def test_a_save_can_be_left() -> None:
    async with desk(fixtures.midway().view()) as pilot:
        await pilot.press("w", "escape")
        assert not isinstance(pilot.app.screen, SaveDialog)


def test_what_cannot_be_written_whole_is_not_left_behind(tmp_path: Path) -> None:
    def fail(_file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_new(tmp_path / "x.txt", fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["r1", "create orgs/x"], "r1-create-orgs-x.txt"),
        (["", "ä" * 3], "output.txt"),
        (["../../etc"], "etc.txt"),
    ],
)
def test_a_file_s_name_needs_no_quoting(parts: Sequence[str], name: str) -> None:
    assert file_name(parts) == name


class Cut(list[str]):
    """Lines that are whole only in a file."""

    def save(self, file: BinaryIO) -> None:
        file.write(b"whole\n")


def test_all_of_it_is_written_where_lines_are_only_a_part() -> None:
    import io

    file = io.BytesIO()
    Export("x", "x", (["before"], Cut(["cut…"]))).write_to(file)
    assert file.getvalue() == b"before\nwhole\n"
