"""The operator's settings: what the file can say, what it may not, and where."""

import subprocess
import sys
import tomllib
from itertools import combinations
from pathlib import Path

import pytest

from console.actions import ACTIONS, every_action
from console.exits import Exit
from console.recovery.choices import CONFIRM_KEY
from console.screens.stop import StopDialog
from console.settings.file import Settings, load_settings, render_settings
from console.settings.keymap import CONFIRMS, canonical, may_meet, objections
from console.settings.memory import Memory
from console.settings.preferences import Preferences
from engine.plan.errors import PlanErrors


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "config.toml"
    path.write_text(text)
    return load_settings({"WESLEY_CONSOLE_CONFIG": str(path)})


def complaints(folder: Path, text: str) -> list[str]:
    """line:column, message and hint of everything that is wrong with `text`."""
    with pytest.raises(PlanErrors) as raised:
        loaded(folder, text)
    found = raised.value.findings
    return [f"{each.place.line}:{each.place.column} {each.message}; {each.hint}" for each in found]


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    text = """
        theme = "wesley-light"
        bell = false
        title = false
        notify = "osc9"
        hook = "page-me"
        [keys]
        pause = "x"
        help = ["?", "f1"]
    """
    settings = loaded(tmp_path, text)
    assert settings == Settings(
        theme="wesley-light",
        bell=False,
        title=False,
        notify="osc9",
        hook="page-me",
        keys={"pause": ("x",), "help": ("?", "f1")},
    )
    assert settings.keymap["help"] == "question_mark,f1"
    assert settings.keymap["abort"] == "a", "what is not set keeps its key"


def test_nobody_needs_a_file(tmp_path: Path) -> None:
    assert load_settings({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}) == Settings()
    assert Settings().keymap == {}


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(PlanErrors, match="cannot be read: No such file"):
        load_settings({"WESLEY_CONSOLE_CONFIG": str(tmp_path / "none.toml")})


def test_all_mistakes_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    text = (
        'theme = "wesley-lite"\nbel = true\ntitle = "yes"\nnotify = "mail"\n'
        '[keys]\nabrt = "x"\ncheckpoint = ["k", "f99"]\nzoom = 3\n'
    )
    assert complaints(tmp_path, text) == [
        '1:9 no theme is called "wesley-lite"; did you mean "wesley-light"?',
        '2:1 unknown key "bel"; did you mean "bell"?',
        '3:9 "yes" is not true or false; ',
        '4:10 "mail" is not one of off, osc9, osc777; known here: off, osc9, osc777',
        '6:1 no action is called "abrt"; did you mean "abort"?',
        '7:14 "f99" is no key; did you mean "f9"?',
        '8:8 "3": keys are written "p", or ["p", "f5"]; ',
    ]


def test_what_is_not_toml_is_told_with_its_place(tmp_path: Path) -> None:
    assert complaints(tmp_path, "bell = true\ntheme = \n") == ["2:9 this is not TOML: invalid value; "]


@pytest.mark.parametrize(
    ("keys", "objection"),
    [
        ('pause = "c"', "c is the key of checkpoint (Checkpoint) already"),
        ('pause = "x"\nabort = "x"', "x is the key of pause (Pause) already"),
        ('help = "up"', "up is the key of events_older (Older) already"),
        ('quit = "ctrl+q"', "ctrl+q cannot be given to quit: it always leaves"),
    ],
)
def test_a_key_means_one_thing(tmp_path: Path, keys: str, objection: str) -> None:
    assert any(objection in said for said in complaints(tmp_path, f"[keys]\n{keys}\n"))


def test_keys_may_be_swapped_and_shared_by_what_is_never_there_together(tmp_path: Path) -> None:
    swapped = loaded(
        tmp_path, '[keys]\npause = "c"\ngo_on = "c"\ncheckpoint = "p"\nstart = "x"\nzoom = "x"\n'
    )
    assert (swapped.keymap["pause"], swapped.keymap["go_on"]) == ("c", "c")


@pytest.mark.parametrize("action", [action.id for action in ACTIONS if action.dangerous])
@pytest.mark.parametrize("key", sorted(CONFIRMS))
def test_no_key_pressed_twice_does_harm(action: str, key: str) -> None:
    said = [objection for name, objection in objections({action: [key]}) if name == action]
    assert any("pressed twice" in objection for objection in said)


def test_the_keys_that_confirm_are_those_of_the_dialogs() -> None:
    answers = {
        key
        for binding in StopDialog.BINDINGS
        for key in binding.key.split(",")  # type: ignore[union-attr]
        if binding.action != "back"  # type: ignore[union-attr]
    }
    assert answers | {CONFIRM_KEY, "enter"} == CONFIRMS


def test_our_own_keys_mean_one_thing_each() -> None:
    shared = {
        (key, one.id, other.id)
        for one, other in combinations(every_action(), 2)
        for key in set(one.keys.split(",")) & set(other.keys.split(","))
        if may_meet(one, other) and one.scope == other.scope
    }
    assert shared == set()


def test_panels_leave_the_keys_of_the_run_alone() -> None:
    runs = {key: action for action in ACTIONS if action.scope != "review" for key in action.keys.split(",")}
    taken = {
        (key, runs[key].id) for action in every_action() if action.panel for key in action.keys.split(",")
        if key in runs
    }  # fmt: skip
    # Enter means the thing under the cursor first; Home and End belong to looking back, which goes first.
    assert taken <= {("enter", "answer"), ("home", "oldest"), ("end", "newest"), ("escape", "unzoom")}


def test_what_is_set_as_it_is_is_no_change() -> None:
    assert list(objections({action.id: action.keys.split(",") for action in every_action()})) == []


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("?", "question_mark"), ("P", "P"), ("shift+p", "P"), ("Ctrl+K", "ctrl+k"), ("F5", "f5"),
        (",", "comma"), ("+", "plus"), (" ", "space"), ("ctrl+m", "enter"), ("é", "é"),
        ("esc", None), ("ctrl+", None), ("a,b", None), ("hyperspace", None), ("\x1b", None), ("", None),
    ],
)  # fmt: skip
def test_how_keys_are_written(written: str, key: str | None) -> None:
    assert canonical(written) == key


def test_the_settings_print_as_a_file_that_says_the_same(tmp_path: Path) -> None:
    settings = Settings(hook='say "so"', notify="osc777", keys={"pause": ("x", "f5"), "graph_follow": ("F",)})
    text = render_settings(settings, tmp_path / "config.toml")
    assert loaded(tmp_path, text) == settings
    assert "there is no such file yet" in text
    nothing_changed = render_settings(Settings(), tmp_path / "config.toml")
    assert tomllib.loads(nothing_changed) == {"keys": {}}
    for action in every_action():
        assert f"\n# {action.id} = " in nothing_changed
    uncommented = "\n".join(
        line.removeprefix("# ") for line in nothing_changed.splitlines() if " = " in line or line == "[keys]"
    )
    assert loaded(tmp_path, uncommented).keymap == loaded(tmp_path, "").keymap | {
        action.id: action.keys for action in every_action()
    }


def test_a_mistake_is_told_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("bel = true\n")
    said = subprocess.run(
        [sys.executable, "-c", "from console.cli import main; main()", "settings"],
        env={"WESLEY_CONSOLE_CONFIG": str(config), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert said.returncode == Exit.USAGE
    assert said.stderr.startswith(f'{config}:1:1: unknown key "bel"\n')
    assert said.stdout == ""


# -- what is remembered ----------------------------------------------------------------------------


def test_the_theme_chosen_last_is_remembered_and_the_file_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "state" / "console.json"
    Memory.read(path).choose("nord")
    assert Preferences(Settings(), Memory.read(path)).theme == "nord"
    assert Preferences(Settings(theme="dracula"), Memory.read(path)).theme == "dracula"


def test_the_hint_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "console.json"
    assert Memory.read(path).give_hint()
    assert not Memory.read(path).give_hint()


@pytest.mark.parametrize("kept", [b"", b"[1]", b"\xff\xfe", b'{"theme": 3, "hinted": "yes"}'])
def test_what_cannot_be_read_is_like_nothing(tmp_path: Path, kept: bytes) -> None:
    path = tmp_path / "console.json"
    path.write_bytes(kept)
    assert Memory.read(path).give_hint()


def test_what_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory.read(tmp_path / "file" / "console.json")
    memory.choose("nord")
    assert memory.theme == "nord"
