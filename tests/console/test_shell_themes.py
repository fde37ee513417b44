"""Our themes, and our variables under everybody's."""

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from console.look import CRITICAL, QUESTION, RUN, STATUS, TRIGGER
from console.theming import DARK, LIGHT, OUR_THEMES, ThemedApp, ink, load_theme, variable_defaults

INKS = {mark.colour for mark in (*STATUS.values(), *RUN.values(), *TRIGGER.values(), CRITICAL, QUESTION)}


def luminance(colour: Color) -> float:
    parts = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str | None, other: str | None) -> float:
    assert one
    assert other
    dark, light = sorted(luminance(Color.parse(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", OUR_THEMES)
def test_all_text_can_be_read(name: str) -> None:
    theme = load_theme(name)
    texts = {ink: theme.variables[ink] for ink in (*INKS, "quiet")}
    texts |= {role: getattr(theme, role) for role in ("foreground", "primary", "accent", "warning", "error")}
    for role, colour in texts.items():
        for behind in (theme.background, theme.surface):
            assert contrast(colour, behind) >= 4.5, (role, colour, behind)


@pytest.mark.parametrize("name", BUILTIN_THEMES)
def test_every_built_in_theme_gets_our_variables(name: str) -> None:
    defaults = variable_defaults(BUILTIN_THEMES[name])
    assert INKS | {"frame", "quiet"} <= defaults.keys()
    for colour in defaults.values():
        assert Color.parse(colour).a == 1.0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_colours_follow_the_theme() -> None:
    app = ThemedApp()
    async with app.run_test() as pilot:
        assert ink(app, "critical").color == Color.parse(load_theme(DARK).variables["critical"]).rich_color
        app.theme = LIGHT
        await pilot.pause()
        assert ink(app, "critical").color == Color.parse(load_theme(LIGHT).variables["critical"]).rich_color
        app.theme = "nord"
        await pilot.pause()
        assert ink(app, "critical", bold=True, on="background").bold


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_color_never_paints_with_the_terminal_s_own_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ThemedApp("ansi-light")
    async with app.run_test() as pilot:
        assert app.theme == LIGHT
        app.theme = "ansi-dark"
        await pilot.pause()
        assert app.theme == DARK
