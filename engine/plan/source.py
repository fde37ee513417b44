"""Reading a YAML file as data in which every key and value knows its place.

YAML 1.2 as far as a plan needs it: `no` and `1:30` are text, `017` is 17, keys are always text, tags and
merge keys are refused. libyaml supplies the events; the tree is built here, without recursion, so that
duplicates, depth and the size of what aliases stand for are known before anything walks the data.
"""

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import yaml

from engine.plan.errors import MAX_FINDINGS, Finding, Place, PlanErrors, nearest, quote

MAX_BYTES = 20_000_000
"""The largest file that is read, in bytes."""
MAX_WEIGHT = 2 * MAX_BYTES
"""The most a file may weigh, aliases written out: 1 for a character, and `VALUE_WEIGHT` for a value."""
VALUE_WEIGHT = 10
MAX_DEPTH = 50
MAX_ENTRIES = 200_000
"""The most entries of one list or mapping."""

Loc = tuple[str | int, ...]
"""The way to a value from the top: keys and positions."""

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_LINE_END = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"), "+.inf": float("inf"),
    "-.inf": -float("inf"), "-.Inf": -float("inf"), "-.INF": -float("inf"),
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar stands for in the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


@dataclass(slots=True)
class Node:
    """A value and where it begins; line and column count from 0 here, as in YAML's own marks.

    `text` is a scalar as written, `style` how (| > " ' or nothing). A mapping has `pairs` (key and value by
    the key's text), a sequence has `items`, a scalar neither. `weight` counts everything below, aliases
    written out.
    """

    line: int
    column: int
    data: Any
    text: str = ""
    style: str = ""
    weight: int = VALUE_WEIGHT
    pairs: "dict[str, tuple[Node, Node]] | None" = None
    items: "list[Node] | None" = None

    def child(self, step: str | int) -> "tuple[Node, Node] | None":
        """The key and the value that `step` leads to; an item of a sequence counts as its own key."""
        if self.pairs is not None:
            return self.pairs.get(str(step))
        if self.items is not None and isinstance(step, int) and step < len(self.items):
            return self.items[step], self.items[step]
        return None


@dataclass
class Document:
    """A YAML file that was read: its tree, and the findings that did not stop the reading."""

    file: str
    text: str
    root: Node
    findings: list[Finding]

    @property
    def data(self) -> Any:
        return self.root.data

    def place(self, loc: Sequence[str | int], *, key: bool = False) -> Place:
        """Where the value at `loc` stands (with `key`: its key); what encloses it, where there is no such."""
        at = value = self.root
        for step in loc:
            found = value.child(step)
            if found is None:
                return self.place_of(value)
            at, value = found
        return self.place_of(at if key else value)

    def node(self, loc: Sequence[str | int]) -> Node | None:
        """The value at `loc`; None where there is no such."""
        value = self.root
        for step in loc:
            found = value.child(step)
            if found is None:
                return None
            value = found[1]
        return value

    def value(self, loc: Sequence[str | int]) -> Any:
        """The data at `loc`; None where there is no such."""
        node = self.node(loc)
        return node.data if node else None

    def lines_from(self, line: int) -> list[str]:
        """The lines from `line` on, which counts from 0, without their ends."""
        return self._lines[line:]

    def place_of(self, node: Node) -> Place:
        source_line = self._lines[node.line] if node.line < len(self._lines) else ""
        return Place(self.file, node.line + 1, node.column + 1, node.text, source_line)

    @cached_property
    def _lines(self) -> list[str]:
        return _LINE_END.split(self.text)


def read_yaml(path: Path) -> Document:
    """The one document in the file at `path`; raises PlanErrors where it cannot be read or is not YAML."""
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of the UTF-8 file at `path`, without its byte order mark; raises PlanErrors."""
    place = Place(str(path))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
            raise PlanErrors([Finding(f"cannot be read: it is {what}", place)])
        if status.st_size > MAX_BYTES:
            raise PlanErrors([Finding(f"larger than {MAX_BYTES // 1_000_000} MB", place)])
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise PlanErrors([Finding(f"cannot be read: {error.strerror or error}", place)]) from error
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig")
        lines = _LINE_END.split(before)
        place = Place(str(path), len(lines), len(lines[-1]) + 1)
        what = f"not UTF-8: byte 0x{raw[error.start]:02x} cannot stand here"
        raise PlanErrors([Finding(what, place, "save the file as UTF-8")]) from error


def parse_yaml(text: str, file: str) -> Document:
    """The one YAML document in `text`; `file` names it in messages. Raises PlanErrors."""
    document = Document(file, text, Node(0, 0, None), [])
    if control := _CONTROL.search(text):
        lines = _LINE_END.split(text[: control.start()])
        node = Node(len(lines) - 1, len(lines[-1]), None, control.group())
        what = f"the control character U+{ord(control.group()):04X} cannot stand in a plan"
        raise PlanErrors([Finding(what, document.place_of(node), 'in text, write it as an escape in "…"')])
    document.root = _Composer(document).compose()
    return document


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet. `skip`: the coming value is refused already."""

    node: Node
    anchor: str | None
    key: Node | None = None
    skip: bool = False


@dataclass
class _Composer:
    document: Document
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)
    root: Node | None = None
    weight: int = 0

    def compose(self) -> Node:
        for event in self._events():
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                self._stop(_node_of(event), "a second document begins here, and a plan is a single one")
        if self.root is None:
            raise PlanErrors([Finding("the file is empty", Place(self.document.file))])
        return self.root

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.document.text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            node = Node(mark.line, mark.column, None) if mark else Node(0, 0, None)
            what = ", ".join(part for part in (error.context, error.problem) if part)
            self._stop(node, f"not YAML: {what}", self._syntax_hint(node, what))

    def _syntax_hint(self, node: Node, what: str) -> str:
        rest = self.document.place_of(node).source_line
        if rest[node.column : node.column + 1] == "\t" or rest.startswith("\t"):
            return "indent with spaces; YAML refuses tabs"
        if "${" in rest:
            return 'put a value with ${…} in quotes: "${NAME}"'
        if rest[node.column : node.column + 1] in ("@", "`", "%", "*", "&"):
            return f"put a value that begins with {rest[node.column]} in quotes"
        return 'put text that holds ": " or " #" in quotes' if "mapping values" in what else ""

    def _stop(self, node: Node, message: str, hint: str = "") -> NoReturn:
        self._note(node, message, hint)
        raise PlanErrors(self.document.findings)

    def _note(self, node: Node, message: str, hint: str = "") -> None:
        self.document.findings.append(Finding(message, self.document.place_of(node), hint))
        if len(self.document.findings) >= MAX_FINDINGS:
            raise PlanErrors(self.document.findings)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        node, text = _node_of(event), event.value
        node.text, node.style, node.weight = text, event.style or "", VALUE_WEIGHT + len(text)
        self._refuse_tag(node, event.tag)
        node.data = plain_scalar(text) if event.implicit[0] else text
        if event.anchor:
            self.anchors[event.anchor] = node
        self._attach(node, node)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        node = _node_of(event)
        self._refuse_tag(node, event.tag)
        if len(self.open) == MAX_DEPTH:
            self._stop(node, f"nested more than {MAX_DEPTH} deep")
        if self.open and self.open[-1].node.pairs is not None and self.open[-1].key is None:
            self._stop(node, "a key is text, not a list or a mapping")
        if isinstance(event, yaml.MappingStartEvent):
            node.data, node.pairs = {}, {}
        else:
            node.data, node.items = [], []
        if event.anchor:
            self.anchors[event.anchor] = None
        self._weigh(node, VALUE_WEIGHT)
        self.open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        closed = self.open.pop()
        if closed.anchor:
            self.anchors[closed.anchor] = closed.node
        self._attach(closed.node, closed.node, weighed=True)

    def _alias(self, event: yaml.AliasEvent) -> None:
        here, name = _node_of(event), event.anchor or ""
        here.text = f"*{name}"
        if name not in self.anchors:
            self._stop(here, f"unknown anchor {quote(name)}", nearest(name, self.anchors))
        target = self.anchors[name]
        if target is None:
            self._stop(here, f"the alias {quote(here.text)} stands inside what it stands for")
        self._attach(target, here)

    def _attach(self, node: Node, here: Node, *, weighed: bool = False) -> None:
        """Put `node` under what is open; `here` is where it stands, elsewhere than `node` for an alias."""
        if not weighed:
            self._weigh(here, node.weight)
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        parent.node.weight += node.weight
        if parent.node.items is not None:
            parent.node.items.append(node)
            parent.node.data.append(node.data)
            self._count(parent.node, here)
        elif parent.key is None:
            self._take_key(parent, node, here)
        else:
            if not parent.skip:
                assert parent.node.pairs is not None
                parent.node.pairs[parent.key.text] = (parent.key, node)
                parent.node.data[parent.key.text] = node.data
            parent.key, parent.skip = None, False

    def _take_key(self, parent: _Open, key: Node, here: Node) -> None:
        assert parent.node.pairs is not None
        if key.pairs is not None or key.items is not None:
            self._stop(here, "a key is text, not a list or a mapping")
        parent.key = key
        self._count(parent.node, here)
        if first := parent.node.pairs.get(key.text):
            self._note(here, f"duplicate key {quote(key.text)}", f"first given in line {first[0].line + 1}")
            parent.skip = True
        elif key.text == "<<":
            self._note(here, "merge keys (<<) are not supported", "name the values, or alias a whole one")
            parent.skip = True

    def _weigh(self, here: Node, weight: int) -> None:
        self.weight += weight
        if self.weight > MAX_WEIGHT:
            self._stop(
                here, "too large: with its aliases written out, the plan passes every sensible size here"
            )

    def _count(self, parent: Node, here: Node) -> None:
        if len(parent.data) > MAX_ENTRIES:
            self._stop(here, f"more than {MAX_ENTRIES:,} entries in one list or mapping")

    def _refuse_tag(self, node: Node, tag: str | None) -> None:
        if tag is not None:
            self._note(
                node, f"the tag {quote(tag)} is not supported", "leave it out; quote what shall be text"
            )


def _node_of(event: yaml.Event) -> Node:
    mark = event.start_mark
    return Node(mark.line, mark.column, None) if mark else Node(0, 0, None)
