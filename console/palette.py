"""What ctrl+p offers: every action that makes sense now with its key, every task, every theme."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.cells import cell_len
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from console.actions import shown_keys
from console.look import STATUS, one_line
from console.theming import theme_names

if TYPE_CHECKING:
    from console.app import ConsoleApp

TASKS_SHOWN = 20
"""Of the tasks that match, the first so many are offered: whoever sees so many types another letter."""
_KEY_COLUMN = 34


class Command(NamedTuple):
    title: str
    key: str
    help: str
    run: Callable[[], object]


class _Offers(Provider):
    """Offers `commands`, and finds them by their title and what they do."""

    @property
    def console(self) -> "ConsoleApp":
        return cast("ConsoleApp", self.app)

    def commands(self) -> Iterator[Command]:
        raise NotImplementedError

    async def discover(self) -> Hits:
        for command in self.commands():
            yield DiscoveryHit(
                _line(Content(command.title), command.key), command.run, command.title, command.help
            )

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self.commands():
            score = max(matcher.match(command.title), matcher.match(command.help) / 2)
            if score > 0:
                title = matcher.highlight(command.title)
                yield Hit(score, _line(title, command.key), command.run, command.title, command.help)


class ActionCommands(_Offers):
    def commands(self) -> Iterator[Command]:
        console, screen = self.console, self.screen
        for action in console.available_actions(screen):
            if action.id != "palette":
                owner = self.focused if action.panel else screen
                run = partial(console.run_action, action.target, owner)
                yield Command(action.label, shown_keys(action, console.keymap), action.help, run)
        yield Command("Choose a theme", "", "See each theme as you choose", console.search_themes)
        yield Command("Screenshot", "", "Save what is on the screen as an SVG picture", console.take_picture)


class ThemeCommands(_Offers):
    """Offered on their own; among other things they are only found, since they are many."""

    def commands(self) -> Iterator[Command]:
        now = self.console.theme
        for name in theme_names():
            yield Command(
                f"Theme {name}", "in use" if name == now else "", "", partial(self.console.choose_theme, name)
            )


class MoreThemes(ThemeCommands):
    async def discover(self) -> Hits:
        none: tuple[DiscoveryHit, ...] = ()
        for hit in none:
            yield hit


class TaskCommands(Provider):
    """Goes to a task by its id or its name."""

    async def search(self, query: str) -> Hits:
        from console.screens.run import RunScreen  # late: the first screen does without it

        if not isinstance(self.screen, RunScreen):
            return
        view, screen = self.screen.view, self.screen
        wanted = query.casefold().removeprefix("go to").split()
        matcher = self.matcher(" ".join(wanted))
        found = 0
        for task in view.plan.tasks:
            name = one_line(task.name or "")
            if wanted and all(word in f"{task.id} {name}".casefold() for word in wanted):
                mark = STATUS[view.state.tasks[task.id].status]
                title = f"Go to {task.id}"
                shown = _line(matcher.highlight(title), f"{mark.glyph} {mark.word}")
                score = max(matcher.match(title), 0.1)
                yield Hit(score, shown, partial(screen.go_to_task, task.id), title, name)
                found += 1
                if found == TASKS_SHOWN:
                    return


def _line(title: Content, key: str) -> Content:
    """`title`, with its key in a column to the right."""
    gap = " " * max(2, _KEY_COLUMN - cell_len(title.plain))
    return title if not key else Content.assemble(title, gap, (key, "bold $accent"))
