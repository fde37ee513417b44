"""Places inside a value: where a character of a YAML scalar stands in the file."""

import re
from collections.abc import Iterator

from engine.plan.errors import Place
from engine.plan.source import Document, Loc, Node

_ANCHOR = re.compile(r"&\S+\s+")
_WORD = re.compile(r"\w+|\S")


def place_inside(document: Document, loc: Loc, offset: int) -> Place | None:
    """Where the character at `offset` of the scalar at `loc` stands; None where that cannot be told exactly,
    as behind an escape in double quotes.

    Blocks, folded lines and quotes change the white space of a text, and nothing else: so the characters
    before `offset` that are no white space are counted, and as many passed over in the file.
    """
    node = document.node(loc)
    if node is None or not isinstance(node.data, str):
        return None
    ahead = sum(not char.isspace() for char in node.text[:offset])
    at_space = offset >= len(node.text) or node.text[offset].isspace()
    end = None
    for line, column, char in _content(document, node):
        if ahead == 0 and not at_space:
            return _place(document, node, line, column, offset)
        if char == "\\" and node.style == '"':
            return None
        ahead -= 1
        end = line, column + 1
        if ahead == 0 and at_space:
            return _place(document, node, *end, offset)
    return None


def place_in_text(file: str, text: str, offset: int) -> Place:
    """Where the character at `offset` of `text`, the whole of `file`, stands."""
    line, start = text.count("\n", 0, offset), text.rfind("\n", 0, offset) + 1
    source = text[start:].partition("\n")[0].rstrip("\r")
    return Place(file, line + 1, offset - start + 1, _word(text, offset), source)


def _place(document: Document, node: Node, line: int, column: int, offset: int) -> Place:
    return document.place_of(Node(line, column, None, _word(node.text, offset)))


def _word(text: str, offset: int) -> str:
    found = _WORD.match(text, offset)
    return found.group() if found else ""


def _content(document: Document, node: Node) -> Iterator[tuple[int, int, str]]:
    """Line, column and character of everything from the scalar's first on that is no white space; the second
    of two single quotes that stand for one is left out."""
    lines = document.lines_from(node.line)
    anchor = _ANCHOR.match(lines[0], node.column)
    begin = anchor.end() if anchor else node.column
    first = node.line
    if node.style in ("|", ">"):
        lines, begin, first = lines[1:], 0, first + 1
    elif node.style:
        begin += 1
    for number, text in enumerate(lines, start=first):
        columns = iter(range(begin if number == first else 0, len(text)))
        for column in columns:
            if not text[column].isspace():
                yield number, column, text[column]
                if node.style == "'" and text[column : column + 2] == "''":
                    next(columns)
