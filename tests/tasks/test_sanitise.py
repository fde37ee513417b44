import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.sanitise import Cleaner, Redactor, clean_value, neutralise, sanitise

SECRETS = {"hunter2-and-more": "${A}", "hunter2": "${B}", "more\nlines": "${C}", "abcabd": "${D}"}


@pytest.mark.parametrize(
    ("foreign", "safe"),
    [
        ("plain\ttext\n", "plain   text\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J\x85", "�2J�"),
        ("10%\r20%\r\n", "10%\n20%\n"),
        ("a\u202eb\u2066c", "a�b�c"),
        ("zero\u200bwidth\ufeff", "zero�width�"),
        ("\u2028\U000e0001\ufdd0\u3164", "����"),
        ("\x7f\x00", "␡␀"),
        ("größe ✓ 日本 🙂", "größe ✓ 日本 🙂"),
    ],
)
def test_what_could_steer_a_terminal_or_hide_is_made_visible(foreign: str, safe: str) -> None:
    assert sanitise(foreign) == safe


@given(st.text())
def test_nothing_unsafe_is_left(text: str) -> None:
    kept = set(sanitise(text)) - {"\n"}
    assert not [char for char in kept if unicodedata.category(char) in {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}]


def test_a_lone_surrogate_can_be_written_to_a_file_afterwards() -> None:
    assert neutralise("\ud800").encode() == "�".encode()


pieces = st.lists(
    st.sampled_from(
        [
            "hunter2",
            "hunter",
            "2",
            "-and-",
            "more",
            "abc",
            "abd",
            "\nlines",
            "\x1b[1m",
            "\x1b",
            "[0m",
            "\r",
            "\n",
        ]
    ),
    max_size=12,
)


@given(pieces, st.lists(st.integers(0, 60), max_size=6))
def test_text_in_pieces_comes_out_like_text_in_one(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    cleaner = Cleaner(Redactor(SECRETS))
    fed = [cleaner.feed(text[start:end]) for start, end in pairwise(edges)]
    assert "".join(fed) + cleaner.finish() == Redactor(SECRETS).redact(neutralise(text))


def test_no_secret_survives_one_character_at_a_time() -> None:
    cleaner = Cleaner(Redactor(SECRETS))
    said = (
        "".join(cleaner.feed(char) for char in "xhunter2-and-more, hunter2; more\nlines.") + cleaner.finish()
    )
    assert said == "x${A}, ${B}; ${C}."


def test_colours_do_not_hide_a_secret() -> None:
    cleaner = Cleaner(Redactor({"s3cr3t-value": "${PASSWORD}"}))
    assert cleaner.feed("s3c\x1b[1mr3t\x1b[0m-value") + cleaner.finish() == "${PASSWORD}"


def test_text_that_cannot_begin_a_secret_is_not_held_back() -> None:
    cleaner = Cleaner(Redactor({"s3cr3t-value": "${PASSWORD}"}))
    assert cleaner.feed("working s3") == "working "
    assert cleaner.feed("0") == "s30"


def test_very_short_values_are_no_secrets() -> None:
    assert Redactor({"1": "${ONE}", "": "${NONE}"}).redact("a1") == "a1"


def test_values_are_cleaned_all_through() -> None:
    value = {"hunter2": [1, None, {"x": "is hunter2\x1b[2J"}]}
    assert clean_value(value, Redactor(SECRETS)) == {"${B}": [1, None, {"x": "is ${B}␛[2J"}]}
