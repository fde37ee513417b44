"""Our themes, and our variables under everybody's."""

import math
from collections.abc import Sequence
from itertools import combinations

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from console.app import ConsoleApp
from console.look import CRITICAL, QUESTION, RUN, STATUS, TRIGGER
from console.theming import (
    COLOUR_BLIND,
    DARK,
    HIGH_CONTRAST,
    LIGHT,
    OUR_THEMES,
    ThemedApp,
    ink,
    load_theme,
    theme_names,
    variable_defaults,
)
from tests.console import fixtures
from tests.console.shell_stage import START

INKS = {mark.colour for mark in (*STATUS.values(), *RUN.values(), *TRIGGER.values(), CRITICAL, QUESTION)}


TEXTS = (*INKS, "quiet", "footer-key-foreground", "footer-description-foreground")
ROLES = ("foreground", "primary", "secondary", "accent", "success", "warning", "error")
LEAST = {HIGH_CONTRAST: 7.0}
"""The contrast of text, where it is more than 4.5: the levels AAA and AA of WCAG 2.2."""

SIMULATED = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
"""What linear RGB looks like to others: Machado, Oliveira and Fernandes, "A Physiologically-based Model for
Simulation of Color Vision Deficiency", IEEE TVCG 15 (2009), at severity 1."""
TOLD_APART = (
    "pending", "ready", "waiting", "running", "succeeded", "failed", "in-doubt", "rolling-back",
)  # fmt: skip
DISTANCE = 20.0
"""In CIELAB (CIE 1976), where 2.3 is a difference that is just noticed."""

Triple = tuple[float, float, float]


def linear(colour: str) -> Triple:
    parts = Color.parse(colour).normalized
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str | None, other: str | None) -> float:
    """The contrast ratio of WCAG."""
    assert one
    assert other
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def seen(colour: str, matrix: Sequence[Sequence[float]]) -> Triple:
    """`colour` in CIELAB (D65), as seen through `matrix`."""
    rgb = [min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear(colour), strict=True)))) for row in matrix]
    to_xyz = (
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    )
    white = (0.95047, 1.0, 1.08883)
    x, y, z = (
        _bent(sum(a * b for a, b in zip(row, rgb, strict=True)) / w)
        for row, w in zip(to_xyz, white, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _bent(part: float) -> float:
    return part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116


@pytest.mark.parametrize("name", OUR_THEMES)
def test_all_text_can_be_read(name: str) -> None:
    theme = load_theme(name)
    texts = {text: theme.variables[text] for text in TEXTS} | {role: getattr(theme, role) for role in ROLES}
    grounds = {ground: theme.variables[ground] for ground in ("asking", "looking-back")}
    grounds |= {ground: getattr(theme, ground) for ground in ("background", "surface", "panel")}
    least = LEAST.get(name, 4.5)
    too_little = {
        (text, ground): round(contrast(texts[text], grounds[ground]), 2)
        for text in texts
        for ground in grounds
        if contrast(texts[text], grounds[ground]) < least
    }
    assert too_little == {}
    variables = theme.variables
    assert contrast(variables["block-cursor-foreground"], variables["block-cursor-background"]) >= least


def test_frames_can_be_seen_in_high_contrast() -> None:
    theme = load_theme(HIGH_CONTRAST)
    assert contrast(theme.variables["frame"], theme.background) >= 3.0


@pytest.mark.parametrize("kind", SIMULATED)
def test_statuses_are_told_apart_whatever_the_eyes(kind: str) -> None:
    variables = load_theme(COLOUR_BLIND).variables
    colours = {status: seen(variables[f"status-{status}"], SIMULATED[kind]) for status in TOLD_APART}
    apart = {pair: math.dist(colours[pair[0]], colours[pair[1]]) for pair in combinations(TOLD_APART, 2)}
    assert {pair: round(far, 1) for pair, far in apart.items() if far < DISTANCE} == {}


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


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_run_can_be_seen_in_every_theme() -> None:
    app = ConsoleApp(fixtures.question_open(), now=lambda: START)
    async with app.run_test(size=(120, 36)) as pilot:
        for name in theme_names():
            app.theme = name
            await pilot.pause()
            shown = app.export_screenshot()
            assert "backfill-orders" in shown, name


def test_a_theme_that_is_gone_is_none() -> None:
    assert ThemedApp("mine-of-last-year").theme == DARK
