"""Passwords in connection strings: found by how they are written, and hidden wherever a plan is quoted."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "[password]"

_KEYWORD = r"\bpassword\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s']%s*))"
_PARAMETER = re.compile(_KEYWORD % r"\S", re.IGNORECASE)
_PARAMETER_IN_TEXT = re.compile(_KEYWORD % r"[^\s&\"]", re.IGNORECASE)
_IN_AUTHORITY = re.compile(r"://[^\s:/@\"']*:(?P<bare>[^\s/\"'…]+)(?=@|…)")
"""Up to the last @, or to where a quotation was cut."""

_VARIABLE = "${"
"""What comes from the environment is no secret of the plan: its name may be shown."""


def passwords_in(conninfo: str) -> list[str]:
    """The passwords that a conninfo (keywords or URL) holds, as written and as meant."""
    if "://" in conninfo:
        try:
            parts = urlsplit(conninfo)
            in_authority = parts.password or ""
        except ValueError:
            return []
        found = [in_authority, unquote(in_authority)]
        found += [value for key, value in parse_qsl(parts.query) if key == "password"]
    else:
        texts = [match["bare"] or match["quoted"] or "" for match in _PARAMETER.finditer(conninfo)]
        found = texts + [re.sub(r"\\(.)", r"\1", text) for text in texts]
    return [password for password in found if password]


def hide_passwords(text: str) -> str:
    """`text` with what stands where a connection string has its password replaced by `[password]`."""
    for start, end in sorted(_spans(text), reverse=True):
        if _VARIABLE not in text[start:end]:
            text = text[:start] + HIDDEN + text[end:]
    return text


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IN_AUTHORITY.finditer(text):
        yield match.span("bare")
    for match in _PARAMETER_IN_TEXT.finditer(text):
        yield match.span("bare" if match["bare"] else "quoted")
