"""What is around the panels: keys of one's own, palette, jump mode, first hint, notices, tiny terminals."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette, Hit
from textual.geometry import Region
from textual.widget import Widget
from textual.widgets import Footer

from console.app import ConsoleApp
from console.notices import Notices
from console.palette import MoreThemes, TaskCommands
from console.screens.jump import JumpScreen
from console.screens.recovery import RecoveryDialog
from console.screens.stop import StopDialog
from console.settings.file import Settings
from console.settings.memory import Memory
from console.settings.preferences import Preferences
from console.status_line import title_text
from engine.machine import events as ev
from engine.machine import reports as rep
from engine.plan.models import parse_plan_data
from tests.console.shell_stage import START, Desk, LiveRun

pytestmark = pytest.mark.anyio
WIDE = (120, 36)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def running(
    run: LiveRun | None = None,
    size: tuple[int, int] = (80, 24),
    memory: Memory | None = None,
    mode: str = "live",
    **settings: Any,
) -> AsyncIterator[Desk]:
    run = run or LiveRun()
    run.begin()
    own = Preferences(Settings(**settings), memory or Memory(hinted=True))
    app = ConsoleApp(
        run.view, events=run.feed, actor="ana", now=lambda: START, preferences=own, mode=mode  # type: ignore[arg-type]
    )  # fmt: skip
    async with app.run_test(size=size) as pilot:
        desk = Desk(pilot, run)
        await desk.settle()
        yield desk


# -- keys of one's own -----------------------------------------------------------------------------


async def test_a_changed_key_is_told_everywhere() -> None:
    async with running(keys={"answer": ("x",), "pause": ("f7",), "go_on": ("f7",)}) as desk:
        desk.run.fail("a")
        await desk.settle()
        await desk.press("escape")
        assert "x answers" in desk.status
        keys = {
            key.description: key.key_display for key in desk.app.screen.query_one(Footer).query("FooterKey")
        }
        assert (keys["Answer"], keys["Pause"]) == ("x", "f7")
        await desk.press("r", "enter")
        assert not isinstance(desk.app.screen, RecoveryDialog)
        await desk.press("x")
        assert isinstance(desk.app.screen, RecoveryDialog)


async def test_one_of_two_that_share_a_key_can_move_alone() -> None:
    async with running(keys={"pause": ("x",)}) as desk:
        await desk.press("x")
        assert len(desk.run.told(rep.Pause)) == 1
        await desk.press("p")
        assert len(desk.run.told(rep.Continue)) == 1


async def test_a_panel_s_key_can_be_changed() -> None:
    async with running(keys={"graph_follow": ("F",)}) as desk:
        graph = desk.app.run_screen.graph
        before = graph.follow
        await desk.press("f")
        assert graph.follow == before
        await desk.press("F")
        assert graph.follow != before


@pytest.mark.parametrize("key", ["x", "f12", "f9", "A"])
async def test_a_moved_abort_still_takes_a_second_and_different_key(key: str) -> None:
    async with running(keys={"abort": (key,)}) as desk:
        await desk.press(key, key, key)
        assert isinstance(desk.app.screen, StopDialog)
        assert desk.run.told(rep.Stop) == []
        await desk.press("f")
        assert len(desk.run.told(rep.Stop)) == 1


async def test_help_shows_the_keys_of_the_panel_in_focus() -> None:
    async with running(size=WIDE) as desk:
        await desk.press("2", "question_mark")
        keys = str(desk.app.screen.query_one("#help-keys").render())
        assert "In this panel: lanes" in keys
        assert "Zoom in" in keys
        await desk.press("escape", "1", "question_mark")
        assert "Zoom in" not in str(desk.app.screen.query_one("#help-keys").render())


# -- palette ---------------------------------------------------------------------------------------


async def found(desk: Desk, provider: Any, query: str) -> list[Hit]:
    searcher = provider(desk.app.screen)
    return [hit async for hit in searcher.search(query)]


async def test_the_palette_goes_to_a_task() -> None:
    async with running(size=WIDE) as desk:
        await desk.press("ctrl+p", *"all views")
        assert isinstance(desk.app.screen, CommandPalette)
        while not desk.app.screen._hit_count:
            await desk.pilot.pause()
        await desk.press("down", "enter")
        await desk.settle()
        assert desk.app.run_screen.graph.selected == "e"


async def test_tasks_are_found_by_id_and_name_and_never_too_many() -> None:
    tasks = [
        {"id": f"step-{n}", "name": f"Part {n} [b]bold[/b]", "run": {"shell": "true"}} for n in range(60)
    ]
    run = LiveRun(parse_plan_data({"wesley": 1, "name": "many", "tasks": tasks}))
    async with running(run) as desk:
        (hit,) = await found(desk, TaskCommands, "part 41")
        assert hit.text == "Go to step-41"
        assert hit.help == "Part 41 [b]bold[/b]"
        assert len(await found(desk, TaskCommands, "step")) == 20
        assert await found(desk, TaskCommands, "nothing like it") == []


async def test_a_theme_is_chosen_in_the_palette_for_the_next_time_too(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "console.json", hinted=True)
    async with running(memory=memory) as desk:
        hits = await found(desk, MoreThemes, "high")
        max(hits).command()
        assert desk.app.theme == "wesley-high-contrast"
    assert Memory.read(tmp_path / "console.json").theme == "wesley-high-contrast"
    async with running(memory=Memory.read(tmp_path / "console.json")) as desk:
        assert desk.app.theme == "wesley-high-contrast"


async def test_a_dialog_is_not_offered_what_belongs_to_the_run() -> None:
    async with running() as desk:
        await desk.press("a")
        offered = {action.id for action in desk.app.available_actions(desk.app.screen)}
        assert offered == {"help", "palette", "quit"}


# -- jump mode -------------------------------------------------------------------------------------


async def test_a_letter_goes_to_its_panel() -> None:
    async with running(size=WIDE) as desk:
        await desk.press("J")
        assert isinstance(desk.app.screen, JumpScreen)
        targets = desk.app.screen.targets
        assert [target.id for target in targets.values()] == [
            "graph", "lanes", "checkpoints", "events", "task-panel",
        ]  # fmt: skip
        await desk.press("f")
        assert desk.app.run_screen.panels["events"].has_focus


@pytest.mark.parametrize("key", ["escape", "x", "enter", "J"])
async def test_any_other_key_stays(key: str) -> None:
    async with running(size=WIDE) as desk:
        await desk.press("2", "J", key)
        assert desk.app.screen is desk.app.run_screen
        assert desk.app.run_screen.panels["lanes"].has_focus
        assert desk.run.reports == []


async def test_a_click_jumps_too() -> None:
    async with running(size=WIDE) as desk:
        await desk.press("J")
        await desk.pilot.click(offset=desk.app.run_screen.panels["task"].region.center)
        await desk.settle()
        assert desk.app.run_screen.panels["task"].has_focus


async def test_jumping_ends_when_the_terminal_changes_its_size() -> None:
    async with running(size=WIDE) as desk:
        await desk.press("J")
        await desk.pilot.resize_terminal(80, 24)
        await desk.settle()
        assert desk.app.screen is desk.app.run_screen


# -- the first time --------------------------------------------------------------------------------


async def test_the_hint_is_given_the_first_time_and_goes_when_it_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "console.json"
    async with running(memory=Memory.read(path), keys={"zoom": ("x",)}) as desk:
        hint = desk.app.screen.query_one("#first-hint")
        assert "? every key" in str(hint.render())
        assert "x enlarges it" in str(hint.render())
        await desk.press("question_mark", "escape")
        assert not desk.app.screen.query("#first-hint")
    async with running(memory=Memory.read(path)) as desk:
        assert not desk.app.screen.query("#first-hint")


# -- notices ---------------------------------------------------------------------------------------


class Terminal:
    """What went to the terminal, and what was told on the screen."""

    def __init__(self, *, rehearsal: bool = False, **settings: Any) -> None:
        self.data: list[str] = []
        self.told: list[str] = []
        self.notices = Notices(
            Settings(**settings), write=self.data.append, tell=self.told.append, rehearsal=rehearsal
        )

    async def asked(self, task: str = "a", reason: str = "exit 3") -> None:
        run = LiveRun()
        run.begin()
        run.fail(task, reason)
        view = run.taken_in().view
        (event,) = run.events(ev.QuestionOpened)
        await self.notices.question(event, view)


async def test_a_question_rings_unless_that_is_off() -> None:
    loud, quiet = Terminal(), Terminal(bell=False)
    await loud.asked()
    await quiet.asked()
    assert (loud.data, quiet.data) == (["\x07"], [])


@pytest.mark.parametrize(
    ("how", "sequence"),
    [
        ("osc9", "\x1b]9;wesley-console: move house: a failed: not 1,2 but �]3\x07"),
        ("osc777", "\x1b]777;notify;wesley-console: move house;a failed: not 1,2 but �]3\x07"),
    ],
)
async def test_a_notification_holds_no_control_characters(
    how: str, sequence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    terminal = Terminal(notify=how, bell=False)
    await terminal.asked(reason="not 1;2\nbut \x1b]3")
    assert terminal.data == [sequence]
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    terminal.data.clear()
    await terminal.asked()
    assert terminal.data[0].startswith("\x1bPtmux;\x1b\x1b]")


async def test_a_hook_is_told_what_is_asked_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hunter2@h/d")
    terminal = Terminal(hook=f"env > {tmp_path}/env", bell=False)
    await terminal.asked(reason="exit 3\nand more")
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    ours = {name: value for name, value in env.items() if name.startswith("WESLEY_")}
    assert ours == {
        "WESLEY_RUN": "r1",
        "WESLEY_PLAN": "move house",
        "WESLEY_QUESTION": ours["WESLEY_QUESTION"],
        "WESLEY_ABOUT": "failure",
        "WESLEY_TASK": "a",
        "WESLEY_REASON": "exit 3 and more",
    }
    assert "hunter2" not in (tmp_path / "env").read_text()
    assert env["PATH"] == os.environ["PATH"]
    assert terminal.told == []


async def test_a_hook_that_fails_is_told_and_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(hook="exit 7")
    await terminal.asked()
    assert terminal.told == ["The hook ended with exit code 7. Run it by hand to see why."]
    monkeypatch.setattr("console.notices.HOOK_S", 0.05)
    slow = Terminal(hook="sleep 60")
    await slow.asked()
    assert slow.told == ["The hook took longer than 0.05 s, and was ended."]


async def test_a_hook_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    async with running(hook=f"read go < {tmp_path}/go; exit 7") as desk:
        desk.run.fail("a")
        await desk.settle()
        assert isinstance(desk.app.screen, RecoveryDialog)
        (tmp_path / "go").write_text("go\n")
        while not any("exit code 7" in note.message for note in desk.app._notifications):
            await desk.pilot.pause()


async def test_a_drill_calls_nobody(tmp_path: Path) -> None:
    terminal = Terminal(rehearsal=True, hook=f"touch {tmp_path}/called", notify="osc9")
    await terminal.asked()
    assert terminal.data == ["\x07"]
    assert not (tmp_path / "called").exists()


async def test_the_title_is_saved_once_written_when_it_changes_and_put_back() -> None:
    terminal = Terminal()
    for title in ("▶ running · 1/5", "▶ running · 1/5", "? 1 \x1b]2;question\x07"):
        terminal.notices.show_title(title)
    assert terminal.data == ["\x1b[22;2t\x1b]2;▶ running · 1/5\x07", "\x1b]2;? 1 �]2;question�\x07"]
    assert terminal.notices.parting == "\x1b]2;\x07\x1b[23;2t"
    off = Terminal(title=False)
    off.notices.show_title("x")
    assert (off.data, off.notices.parting) == ([], "")


async def test_what_the_title_says() -> None:
    run = LiveRun()
    assert title_text(run.view) == "· not started · move house"
    run.begin()
    run.succeed("a")
    assert title_text(run.taken_in().view) == "▶ running · 1/5 · r1"
    run.fail("b")
    assert title_text(run.taken_in().view) == "? 1 question · 1/5 · r1"


# -- tiny terminals --------------------------------------------------------------------------------


def small(desk: Desk) -> str:
    return str(desk.app.run_screen.query_one("#too-small").render())


@pytest.mark.parametrize("size", [(59, 18), (60, 17), (40, 10), (20, 5)])
async def test_a_tiny_terminal_still_says_what_is_asked_and_answers(size: tuple[int, int]) -> None:
    async with running(size=size) as desk:
        desk.run.fail("a")
        await desk.settle()
        assert isinstance(desk.app.screen, RecoveryDialog)
        await desk.press("escape")
        assert small(desk).startswith("? a failed: exit 3\nr answers  p pauses  a stops")
        await desk.press("p")
        assert len(desk.run.told(rep.Pause)) == 1
        await desk.press("a", "f")
        assert [stop.drain for stop in desk.run.told(rep.Stop)] == [True]


async def test_a_terminal_that_grows_gets_its_panels_back() -> None:
    async with running(size=(40, 10)) as desk:
        assert "▶ a" in small(desk)
        assert not desk.app.screen.query_one("#whole").display
        await desk.pilot.resize_terminal(60, 18)
        await desk.settle()
        assert desk.app.screen.query_one("#whole").display
        await desk.press("2")
        assert desk.app.run_screen.panels["lanes"].has_focus


async def test_the_keys_named_on_a_tiny_terminal_are_the_operator_s_own() -> None:
    async with running(size=(40, 10), keys={"pause": ("x",)}) as desk:
        assert small(desk).startswith("x pauses")


# -- calm ------------------------------------------------------------------------------------------


async def test_nothing_is_drawn_when_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(size=WIDE) as desk:
        while desk.app.outlook is None:
            await desk.pilot.pause()
        await desk.settle()
        drawn: list[tuple[Widget, object]] = []
        refresh = Widget.refresh

        def watched(widget: Widget, *regions: Region, **options: Any) -> Widget:
            drawn.append((widget, regions))
            return refresh(widget, *regions, **options)

        monkeypatch.setattr(Widget, "refresh", watched)
        for _ in range(3):
            desk.app.repaint_views()
            await desk.pilot.pause()
        assert drawn == []
        desk.run.succeed("a")
        await desk.settle()
        assert {widget.id for widget, _ in drawn} >= {"status-line", "graph", "lanes", "events"}
