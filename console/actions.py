"""The one registry of what an operator can do, by name.

Key bindings, footer, help screen, command palette and the settings file are all made from this list, so a key
can be changed and everything that mentions it follows. What only one panel knows (scrolling, panning) is
declared in that panel, and joins the list under the panel's name: `graph_follow`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from textual.binding import Binding, BindingType
from textual.keys import format_key

Scope = Literal["app", "review", "run", "panel"]
Group = Literal["The run", "Panels", "Looking back", "The console", "In a panel"]
GROUPS: tuple[Group, ...] = ("The run", "In a panel", "Panels", "Looking back", "The console")
Keymap = Mapping[str, str]
"""Keys (alternatives, with a comma between) by the id of an action."""


@dataclass(frozen=True)
class NamedAction:
    """`keys` are alternatives, the first is the one shown. `call` is the Textual action where it is not
    simply the id. `changes_run` actions do not exist where a run is only looked at; `dangerous` ones end
    work or undo it, and ask again before they do. Actions of one `footer_group` share one footer entry.
    Of two actions with the same `either` only one exists at a time, so that they may share a key. `panel` is
    the panel that a panel's own action belongs to."""

    id: str
    keys: str
    label: str
    help: str
    group: Group
    scope: Scope = "run"
    call: str = ""
    changes_run: bool = False
    dangerous: bool = False
    footer: bool = False
    footer_group: str = ""
    priority: bool = False
    either: str = ""
    panel: str = ""

    @property
    def target(self) -> str:
        return self.call or self.id

    def binding(self) -> Binding:
        return Binding(
            self.keys,
            self.target,
            self.label,
            show=self.footer,
            priority=self.priority,
            tooltip=self.help,
            id=self.id,
            group=_footer_group(self.footer_group) if self.footer_group else None,
        )


@cache
def _footer_group(name: str) -> Binding.Group:
    return Binding.Group(name)


def _run(
    action: str,
    key: str,
    label: str,
    means: str,
    *,
    changes_run: bool = True,
    dangerous: bool = False,
    footer: bool = True,
    either: str = "",
) -> NamedAction:
    """About the run itself: the app does these, since it holds what the engine is reached by."""
    return NamedAction(
        action,
        key,
        label,
        means,
        "The run",
        call=f"app.{action}",
        changes_run=changes_run,
        dangerous=dangerous,
        footer=footer,
        either=either,
    )


def _panel(number: int, panel: str, shows: str) -> NamedAction:
    call = f"panel('{panel}')"
    return NamedAction(
        f"panel_{panel}", str(number), panel.capitalize(), f"Go to {shows}", "Panels", call=call
    )


def _step(action: str, key: str, means: str, footer_group: str = "") -> NamedAction:
    """Steps without an entry in the footer have keys that panels scroll with, and go before these."""
    shown = bool(footer_group)
    return NamedAction(
        action, key, means, means, "Looking back", footer=shown, footer_group=footer_group, priority=not shown
    )


ACTIONS: tuple[NamedAction, ...] = (
    _run("answer", "r,enter", "Answer", "Open the question that waits for an operator"),
    _run("pause", "p", "Pause", "Start nothing new; what is running finishes", either="pause"),
    _run("go_on", "p", "Resume", "Go on with a paused run", either="pause"),
    _run("checkpoint", "c", "Checkpoint", "Save a checkpoint now"),
    _run("rollback", "R", "Rollback", "See what a rollback would undo, and choose one",
         dangerous=True, footer=False),
    _run("lock_wait", "L", "Lock wait", "See who blocks a task that waits for a lock, and what can be done"),
    _run("adjust", "A", "Adjust", "Hold a backfill back, or set its batches and pauses", footer=False),
    _run("abort", "a", "Abort", "Stop the run; it can be resumed later", dangerous=True),
    _run("summary", "s", "Summary", "How the run ended", changes_run=False),
    _panel(1, "graph", "the graph of tasks"),
    _panel(2, "lanes", "the lanes: who works on what, and when"),
    _panel(3, "checkpoints", "the checkpoints"),
    _panel(4, "events", "the events"),
    _panel(5, "task", "the selected task"),
    NamedAction("next_panel", "tab", "Next panel", "Go to the next panel", "Panels", call="app.focus_next"),
    NamedAction(
        "previous_panel", "shift+tab", "Previous panel", "Go to the panel before", "Panels",
        call="app.focus_previous",
    ),
    NamedAction("jump", "J", "Jump", "A letter on each panel: press it to go there",
                "Panels"),
    NamedAction("zoom", "z", "Zoom", "Give the panel the whole screen, and back", "Panels", footer=True),
    NamedAction(
        "find", "slash", "Find", "Find tasks by id, name, status, phase or wave", "Panels", footer=True
    ),
    NamedAction("find_next", "n", "Next match", "Go to the next task that was found", "Panels"),
    NamedAction("find_previous", "N", "Previous match", "Go to the task found before", "Panels"),
    NamedAction("copy", "y", "Copy", "Copy what the panel shows to the terminal's clipboard", "Panels"),
    NamedAction("save", "w", "Save", "Save what the panel shows to a new file", "Panels"),
    NamedAction("unzoom", "escape", "Back", "Back to all panels; again, to whatever is running", "Panels"),
    _step("step_back", "left_square_bracket", "One event back", "event"),
    _step("step_on", "right_square_bracket", "One event on", "event"),
    _step("checkpoint_back", "left_curly_bracket", "Back to the checkpoint before", "checkpoint"),
    _step("checkpoint_on", "right_curly_bracket", "On to the next checkpoint", "checkpoint"),
    _step("oldest", "home", "Back to the first event"),
    _step("newest", "end", "On to the newest event"),
    NamedAction(
        "start", "s", "Start the run", "Start the run as it is described", "The console",
        scope="review", footer=True,
    ),
    NamedAction(
        "locks", "l", "Locks", "Every statement, what it locks, and whom that blocks", "The console",
        scope="review", footer=True,
    ),
    NamedAction(
        "leave", "escape", "Leave", "Leave; nothing has been started", "The console",
        scope="review", call="app.quit",
    ),
    NamedAction(
        "help", "question_mark", "Help", "All keys, and what the marks mean", "The console",
        scope="app", footer=True,
    ),
    NamedAction(
        "palette", "ctrl+p", "Palette", "Find any action, task or theme by its name", "The console",
        scope="app", call="command_palette", priority=True,
    ),
    NamedAction(
        "quit", "q", "Quit", "Leave; a live run is stopped first, and can be resumed",
        "The console", scope="app", dangerous=True, footer=True,
    ),
)  # fmt: skip


def bindings(scope: Scope) -> list[BindingType]:
    """The bindings of the screens of `scope`, in the order the footer shows them."""
    return [action.binding() for action in ACTIONS if action.scope == scope]


# -- what only one panel knows -------------------------------------------------------------------------

_OF_PANELS: dict[str, NamedAction] = {}


def of_panel(panel: str, declared: Iterable[BindingType]) -> list[BindingType]:
    """The bindings that `panel` declares, taken into the registry; their ids come from their descriptions."""
    made: list[BindingType] = []
    for binding in declared:
        assert isinstance(binding, Binding)
        name = f"{panel}_{binding.description}".lower().replace(" ", "_")
        _OF_PANELS[name] = NamedAction(
            name,
            binding.key,
            binding.description,
            binding.tooltip or binding.description,
            "In a panel",
            scope="panel",
            call=binding.action,
            dangerous=binding.action == "rollback",
            panel=panel,
        )
        made.append(replace(binding, id=name))
    return made


def every_action() -> list[NamedAction]:
    """All named actions: those above, and those that panels declare."""
    import console.screens.run  # noqa: F401  # late: the panels it shows declare theirs, with what is above

    return [*ACTIONS, *_OF_PANELS.values()]


def of_scope(*scopes: Scope, panel: str = "") -> Iterator[NamedAction]:
    """The actions of `scopes`, and of `panel` where one is given."""
    for action in every_action():
        if action.scope in scopes or (panel and action.panel == panel):
            yield action


def shown_keys(action: NamedAction, keymap: Keymap) -> str:
    """The keys of `action` as people read them."""
    return " ".join(format_key(key) for key in keymap.get(action.id, action.keys).split(","))


def first_key(action_id: str, keymap: Keymap) -> str:
    """The one key that a text names for `action_id`."""
    action = next(action for action in every_action() if action.id == action_id)
    return shown_keys(action, keymap).partition(" ")[0]
