# ruff: noqa: E501 (a table: one line each)
"""Malformed plans, each with the place (§) of what is wrong, and with what is said and hinted of it."""

from collections.abc import Iterator
from typing import NamedTuple

HEAD = "wesley: 1\nname: hostile\n"
A = "  - {id: a, run: {shell: x}}\n"
TASKS = "tasks:\n" + A
ON_APP = HEAD + "targets: {app: {sqlite: app.db}}\n"


class Bad(NamedTuple):
    """A plan with a mistake at §; text is written as UTF-8. Without a § the file as a whole is meant."""

    content: str | bytes
    said: str
    hint: str = ""


def tasks(*lines: str) -> str:
    return HEAD + "tasks:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


def _ring(size: int, name: str = "t") -> str:
    needs = ((size - 1 if n == 0 else n - 1, n) for n in range(size))
    return "".join(f"  - {{id: {name}{n}, run: {{shell: x}}, needs: [{name}{need}]}}\n" for need, n in needs)


def _doubling(levels: int, opening: str, closing: str) -> str:
    """Aliases of aliases: each level stands for twice the one before."""
    lines = [f"b0: &b0 {opening.format('x', 'y')}{closing}"]
    for n in range(1, levels):
        lines.append(f"b{n}: &b{n} {opening.format(f'*b{n - 1}', f'*b{n - 1}')}{closing}")
    return "\n".join(lines) + "\n"


ALIASES = {
    "laughs in lists": Bad(HEAD + _doubling(40, "[{}, {}", "]") + TASKS, "with its aliases written out"),
    "laughs in mappings": Bad(HEAD + _doubling(40, "{{a: {}, b: {}", "}") + TASKS, "with its aliases"),
    "laughs in needs": Bad(
        HEAD + "x:\n" + "".join(f"  {line}\n" for line in _doubling(30, "[{}, {}", "]").splitlines())
        + "tasks:\n  - {id: a, run: {shell: x}, needs: *b29}\n",
        "with its aliases",
    ),
    "a long text many times": Bad(
        HEAD + "tasks:\n  - {id: a, run: {shell: &s " + "x" * 500_000 + "}}\n"
        + "".join(f"  - {{id: a{n}, run: {{shell: *s}}}}\n" for n in range(100)),
        "with its aliases",
    ),
    "an alias of what is open": Bad(HEAD + "tasks: &t\n  - {id: a, run: {shell: x}, needs: §*t}\n", "inside what"),
    "an alias to nothing": Bad(HEAD + "tasks:\n  - {id: a, run: §*run}\n", "unknown anchor"),
    "a list for a key by alias": Bad(HEAD + "phases: &p [a]\n§*p : 1\n" + TASKS, "a key is text"),
    "an alias of the wrong type": Bad(HEAD + "retry: §&r {attempts: 1}\nphases: *r\n" + TASKS, "is not a list"),
    "an anchor without a name": Bad(HEAD + "retry: &§ {attempts: 1}\n" + TASKS, "not YAML"),
}  # fmt: skip

CYCLES = {
    "itself": Bad(tasks("id: a, run: {shell: x}, needs: [§a]"), "needs itself"),
    "itself among others": Bad(tasks("id: b, run: {shell: x}", "id: a, run: {shell: x}, needs: [b, §a]"), "needs itself"),
    "two": Bad(tasks("id: a, run: {shell: x}, needs: [§b]", "id: b, run: {shell: x}, needs: [a]"), "a cycle of 2 tasks: a → b → a"),
    "three": Bad(
        tasks("id: a, run: {shell: x}, needs: [§c]", "id: b, run: {shell: x}, needs: [a]", "id: c, run: {shell: x}, needs: [b]"),
        "a cycle of 3 tasks: a → c → b → a",
    ),
    "three and a tail": Bad(
        tasks(
            "id: z, run: {shell: x}, needs: [a]", "id: a, run: {shell: x}, needs: [§c]",
            "id: b, run: {shell: x}, needs: [a]", "id: c, run: {shell: x}, needs: [b]",
        ),
        "a cycle of 3 tasks",
    ),
    "a thousand": Bad(HEAD + "tasks:\n" + _ring(1000).replace("[t999]", "[§t999]"), "a cycle of 1000 tasks: t0 → t999"),
    "one of many": Bad(HEAD + "tasks:\n" + "".join(_ring(3, f"r{n}x") for n in range(20)).replace("[r19x2]", "[§r19x2]"), "a cycle of 3 tasks"),
    "with a misspelt key beside": Bad(tasks("id: a, run: {shell: x}, needs: [§b], xx: 1", "id: b, run: {shell: x}, needs: [a]"), "a cycle"),
    "of waves": Bad(
        HEAD + "waves: [{id: w1}, {id: w2}]\ntasks:\n  - {id: a, run: {shell: x}, wave: w1, needs: [§b]}\n"
        "  - {id: b, run: {shell: x}, wave: w2}\n",
        "which runs in wave",
    ),
}  # fmt: skip

DUPLICATES = {
    "a task thrice": Bad(HEAD + TASKS + A + A.replace("id: ", "id: §"), '"a" is here twice', "first given in line 4"),
    "a need": Bad(tasks("id: a, run: {shell: x}", "id: b, run: {shell: x}, needs: [a, §a]"), '"a" is here twice'),
    "a target": Bad(HEAD + "targets: {app: {sqlite: a.db}, §app: {sqlite: b.db}}\n" + TASKS, "duplicate key"),
    "a pool": Bad(HEAD + "resources: {cpu: 1, §cpu: 2}\n" + TASKS, "duplicate key"),
    "a use": Bad(HEAD + "resources: {cpu: 2}\n" + tasks("id: a, run: {shell: x}, uses: {cpu: 1, §cpu: 1}")[len(HEAD):], "duplicate key"),
    "a key in quotes": Bad(HEAD + TASKS + '§"name": x\n', 'duplicate key "name"'),
    "a key by escape": Bad(HEAD + TASKS + '§"\\x6eame": x\n', 'duplicate key "name"'),
    "all the tasks": Bad(HEAD + TASKS + "§tasks: []\n", 'duplicate key "tasks"'),
    "an id by alias": Bad(HEAD + "tasks:\n  - &t {id: §a, run: {shell: x}}\n  - *t\n", '"a" is here twice'),
}  # fmt: skip

NAMES = {
    "another case": Bad(tasks("id: Load, run: {shell: x}", "id: b, run: {shell: x}, needs: [§load]"), "unknown task", '"Load"'),
    "a letter of another script": Bad(tasks("id: load, run: {shell: x}", "id: b, run: {shell: x}, needs: [§lоad]"), "a name begins"),
    "a hyphen for an underscore": Bad(tasks("id: load_all, run: {shell: x}", "id: b, run: {shell: x}, needs: [§load-all]"), "unknown task", '"load_all"'),
    "nothing like it": Bad(tasks("id: load, run: {shell: x}", "id: b, run: {shell: x}, needs: [§qqq]"), "unknown task", "known here: load, b"),
    "an empty need": Bad(tasks("id: b, run: {shell: x}, needs: [§'']"), "there is nothing in it"),
    "a need that is a mapping": Bad(tasks("id: b, run: {shell: x}, needs: [§{id: a}]"), "this is not text"),
    "a need that is a list": Bad(tasks("id: a, run: {shell: x}, needs: [§[b]]"), "this is not text"),
    "a need that is null": Bad(tasks("id: a, run: {shell: x}, needs: [§~]"), "is not text"),
    "a date for a name": Bad(tasks("id: a, run: {shell: x}", "id: b, run: {shell: x}, needs: [§2024-01-01x]"), "unknown task"),
    "a target of a verify": Bad(ON_APP + "tasks:\n  - {id: a, run: {shell: x}, verify: {sql: x, on: §aap}}\n", "unknown target", '"app"'),
    "a pool of a plan that has others": Bad(HEAD + "resources: {disk: 1}\n" + tasks("id: a, run: {shell: x}, uses: {§dsik: 1}")[len(HEAD):], "unknown pool", '"disk"'),
    "more than the pool holds": Bad(HEAD + "resources: {disk: 1}\n" + tasks("id: a, run: {shell: x}, uses: {disk: §2}")[len(HEAD):], "its capacity is 1"),
    "a policy of forecasts only": Bad(HEAD + "policy: §optimized\n" + TASKS, "is not one of"),
    "a model in capitals": Bad(HEAD + "model: §WAVE\n" + TASKS, "is not one of", '"wave"'),
    "a version of text": Bad('wesley: §"1"\nname: x\n' + TASKS, "version"),
    "a version to come": Bad("wesley: §1.1\nname: x\n" + TASKS, "version"),
    "no version": Bad("§name: x\n" + TASKS, '"wesley" is missing'),
    "a key of another tool": Bad(HEAD + "§jobs: {}\n" + TASKS, 'unknown key "jobs"'),
    "a key in another case": Bad(HEAD + "§Workers: 2\n" + TASKS, 'unknown key "Workers"', '"workers"'),
    "a key that is a number": Bad(HEAD + "§7: 2\n" + TASKS, 'unknown key "7"'),
    "a key that is null": Bad(HEAD + "§~: 2\n" + TASKS, 'unknown key "~"'),
    "an empty key": Bad(HEAD + '§"": 2\n' + TASKS, 'unknown key ""'),
    "python's own key": Bad(HEAD + "§__class__: x\n" + TASKS, 'unknown key "__class__"'),
    "a model's own key": Bad(HEAD + "§model_config: x\n" + TASKS, 'unknown key "model_config"'),
    "the alias of a key": Bad(tasks("id: a, run: {shell: x}, classify: [{exit: 1, §as_: transient, as: transient}]"), 'unknown key "as_"'),
}  # fmt: skip

# The invisible, and what steers: by the escape that YAML has for each.
UNSEEN = {
    "NUL": "\\0", "bell": "\\a", "backspace": "\\b", "carriage return": "\\r", "escape": "\\e", "delete": "\\x7f",
    "next line": "\\N", "CSI": "\\x9b", "OSC": "\\x9d", "soft hyphen": "\\xad", "Arabic letter mark": "\\u061c",
    "zero-width space": "\\u200b", "zero-width joiner": "\\u200d", "right-to-left mark": "\\u200f",
    "line separator": "\\u2028", "paragraph separator": "\\u2029", "right-to-left override": "\\u202e",
    "word joiner": "\\u2060", "isolate": "\\u2066", "byte order mark": "\\ufeff", "annotation": "\\ufff9",
    "tag": "\\U000e0041",
}  # fmt: skip
PLACES = {
    "an id": ('tasks:\n  - {{id: §"a{0}b", run: {{shell: x}}}}\n', "a name begins"),
    "a title": ('tasks:\n  - {{id: a, name: §"a{0}b", run: {{shell: x}}}}\n', "the invisible character U+"),
    "a key": ('§"na{0}me": x\n' + TASKS.replace("{", "{{").replace("}", "}}"), "unknown key"),
    "a need": ('tasks:\n  - {{id: a, run: {{shell: x}}, needs: [§"b{0}"]}}\n', "a name begins"),
    "a policy": ('policy: §"fifo{0}"\n' + TASKS.replace("{", "{{").replace("}", "}}"), "is not one of"),
    "a duration": ('tasks:\n  - {{id: a, run: {{shell: x}}, duration: §"5{0}s"}}\n', "not a duration"),
}  # fmt: skip

NESTING = {
    "lists in flow": Bad(HEAD + "phases: " + "[" * 49 + "§[" + "]" * 50 + "\n" + TASKS, "nested more than 50 deep"),
    "very deep lists": Bad(HEAD + "phases: " + "[" * 100_000, "nested more than 50 deep"),
    "very deep mappings": Bad(HEAD + "retry: " + "{a: " * 100_000, "nested more than 50 deep"),
    "very deep block": Bad(HEAD + "phases:\n" + "- " * 100_000 + "x\n", "nested more than 50 deep"),
    "deep keys": Bad(HEAD + "".join(" " * n + f"k{n}:\n" for n in range(1000)), "nested more than 50 deep"),
    "keys of keys": Bad(HEAD + "? §[? [? x]]\n: 1\n", "a key is text"),
    "deep in a task": Bad(tasks("id: a, run: " + "{run: " * 60 + "x" + "}" * 60), "nested more than 50 deep"),
    "not quite too deep": Bad(tasks("id: a, run: {§x: " + "{x: " * 40 + "1" + "}" * 41), 'unknown key "x"'),
    "a mapping for an id": Bad(tasks("id: §{a: {b: c}}, run: {shell: x}"), "this is not text"),
}  # fmt: skip

YAML_TRAPS = {
    "python object": Bad(tasks("id: a, run: {shell: §!!python/object/apply:os.system [id]}"), "the tag"),
    "python name": Bad(tasks("id: a, run: {python: §!!python/name:os.system ''}"), "the tag"),
    "binary": Bad(tasks("id: a, run: {shell: §!!binary aGk=}"), "the tag"),
    "set": Bad(HEAD + "phases: §!!set {a, b}\n" + TASKS, "the tag"),
    "ordered map": Bad(HEAD + "retry: §!!omap [attempts: 1]\n" + TASKS, "the tag"),
    "a tag of one's own": Bad(HEAD + "targets: {app: {sqlite: §!env DB}}\n" + TASKS, "the tag"),
    "a verbatim tag": Bad(HEAD + "interpreter: §!<x> y\n" + TASKS, "the tag"),
    "a tag handle": Bad("%TAG ! tag:example.org,2000:\n---\n" + HEAD + "interpreter: §!x y\n" + TASKS, "the tag"),
    "a tag that is not declared": Bad(HEAD + "interpreter: §!e!x y\n" + TASKS, "not YAML"),
    "a float by tag": Bad(HEAD + "workers: §!!int '4'\n" + TASKS, "the tag"),
    "a merge of a list": Bad(HEAD + "retry: &r {attempts: 1}\ndefaults: {§<<: [*r]}\n" + TASKS, "merge keys"),
    "a merge at the top": Bad(HEAD + "§<<: {workers: 2}\n" + TASKS, "merge keys"),
    "two documents": Bad(HEAD + TASKS + "§---\n" + HEAD + TASKS, "a second document"),
    "two documents after an end": Bad(HEAD + TASKS + "...\n§---\n" + HEAD + TASKS, "a second document"),
    "text after the end": Bad(HEAD + TASKS + "...\n§more: 1\n", "not YAML"),
    "another YAML": Bad("§%YAML 3.0\n---\n" + HEAD + TASKS, "not YAML"),
    "an open quote": Bad(HEAD + 'interpreter: "x\n' + TASKS + "§", "not YAML"),
    "an open mapping": Bad(HEAD + "retry: {attempts: 1\n" + TASKS.replace("tasks:", "tasks§:"), "not YAML"),
    "a bad indentation": Bad(HEAD + "tasks:\n  - id: a\n   §run: {shell: x}\n", "not YAML"),
    "a tab for indentation": Bad(HEAD + "retry:\n§\tattempts: 1\n" + TASKS, "not YAML", "indent with spaces"),
    "a surrogate by escape": Bad(HEAD + 'interpreter: "\\u§d800"\n' + TASKS, "not YAML"),
    "an escape that is none": Bad(HEAD + 'interpreter: "§\\q"\n' + TASKS, "not YAML"),
    "a sexagesimal number": Bad(HEAD + "workers: §1:30\n" + TASKS, "is not a whole number"),
    "an underscored number": Bad(HEAD + "workers: §1_000\n" + TASKS, "is not a whole number"),
    "an octal that is too much": Bad(HEAD + "workers: §0o7777777\n" + TASKS, "out of range"),
    "on is text": Bad(HEAD + "checkpoints: {phases: §on}\n" + TASKS, "is not true or false"),
}  # fmt: skip

SHAPES = {
    "a number": Bad("§42\n", "is not a mapping"),
    "text": Bad("§hello, world\n", "is not a mapping"),
    "null": Bad("§~\n", "is not a mapping"),
    "an empty mapping": Bad("§{}\n", '"tasks" is missing'),
    "an empty list": Bad("§[]\n", "is not a mapping"),
    "only a document start": Bad("---\n§", "is not a mapping"),
    "a block of text": Bad("§|\n  wesley: 1\n", "is not a mapping"),
    "JSON with a comment": Bad('{"wesley": 1, "name": "x", // no\n"tasks"§: []}', "not YAML"),
    "a page of HTML": Bad("§<!DOCTYPE html><html><body>404</body></html>\n", "is not a mapping"),
    "a shell script": Bad("#!/bin/sh\n§rm -rf build\n", "is not a mapping"),
    "tasks as a mapping": Bad(HEAD + "tasks: §{a: {run: {shell: x}}}\n", "is not a list"),
    "tasks as text": Bad(HEAD + "tasks: §a\n", "is not a list"),
    "tasks as null": Bad(HEAD + "tasks:§\n", "is not a list"),
    "a task that is null": Bad(HEAD + "tasks: [§~]\n", "is not a mapping"),
    "a task that is text": Bad(HEAD + "tasks: [§a]\n", "is not a mapping"),
    "a task that is a list": Bad(HEAD + "tasks: [§[a]]\n", "is not a mapping"),
    "a wave that is text": Bad(HEAD + "waves: [§w1]\n" + TASKS, "is not a mapping"),
    "a run that is null": Bad(tasks("id: a, run: §~"), "is not a mapping"),
    "a simulation that is a number": Bad(tasks("id: a, run: {simulate: §5}"), "is not a mapping"),
    "three kinds of run": Bad(tasks("id: a, run: §{shell: x, python: 'a:b', sql: y}"), "exactly one of"),
    "SQL on nothing": Bad(tasks("id: a, run: {sql: x, on: §''}"), "there is nothing in it"),
    "a rule of two conditions": Bad(tasks("id: a, run: {shell: x}, classify: [§{exit: 1, output: x, as: unknown}]"), "exactly one of"),
    "a rule of no condition": Bad(tasks("id: a, run: {shell: x}, classify: [§{as: unknown}]"), "exactly one of"),
}  # fmt: skip

PATHS = {
    "a database up": Bad(HEAD + "targets: {app: {sqlite: §../app.db}}\n" + TASKS, "leads out", "--allow-outside"),
    "a database up in the middle": Bad(HEAD + "targets: {app: {sqlite: §a/../../app.db}}\n" + TASKS, "leads out"),
    "a database at the root": Bad(HEAD + "targets: {app: {sqlite: §/var/lib/app.db}}\n" + TASKS, "leads out"),
    "a database behind a linked folder": Bad(HEAD + "targets: {app: {sqlite: §away/app.db}}\n" + TASKS, "leads out"),
    "a linked database": Bad(HEAD + "targets: {app: {sqlite: §away.db}}\n" + TASKS, "leads out"),
    "a database that links to itself": Bad(HEAD + "targets: {app: {sqlite: §loop.db}}\n" + TASKS, "followed"),
    "a NUL in a database": Bad(HEAD + 'targets: {app: {sqlite: §"a\\0b"}}\n' + TASKS, "U+0000"),
    "a database of a very long name": Bad(HEAD + "targets: {app: {sqlite: §" + "x" * 5000 + "}}\n" + TASKS, "followed"),
    "a database in memory": Bad(HEAD + "targets: {app: §{sqlite: ':memory:'}}\n" + TASKS, "a database in memory"),
    "a script up": Bad(ON_APP + tasks("id: a, run: {sql_file: §../x.sql, on: app}")[len(HEAD):], "leads out", "--allow-outside"),
    "a script at the root": Bad(ON_APP + tasks("id: a, run: {sql_file: §/etc/passwd, on: app}")[len(HEAD):], "leads out"),
    "a script behind a linked folder": Bad(ON_APP + tasks("id: a, run: {sql_file: §away/x.sql, on: app}")[len(HEAD):], "leads out"),
    "a linked script": Bad(ON_APP + tasks("id: a, run: {sql_file: §away.sql, on: app}")[len(HEAD):], "leads out"),
    "a script of the processes": Bad(ON_APP + tasks("id: a, run: {sql_file: §environ.sql, on: app}")[len(HEAD):], "leads out"),
    "a script that is a pipe": Bad(ON_APP + tasks("id: a, run: {sql_file: §pipe.sql, on: app}")[len(HEAD):], "no ordinary file"),
    "a script that is a folder": Bad(ON_APP + tasks("id: a, run: {sql_file: §folder, on: app}")[len(HEAD):], "it is a folder"),
    "a script that is not there": Bad(ON_APP + tasks("id: a, run: {sql_file: §none.sql, on: app}")[len(HEAD):], "No such file"),
    "a script that is too large": Bad(ON_APP + tasks("id: a, run: {sql_file: §large.sql, on: app}")[len(HEAD):], "larger than 20 MB"),
    "a script that is not text": Bad(ON_APP + tasks("id: a, run: {sql_file: §latin.sql, on: app}")[len(HEAD):], "not UTF-8"),
    "a script with a NUL": Bad(ON_APP + tasks("id: a, run: {sql_file: §nul.sql, on: app}")[len(HEAD):], "U+0000"),
    "a NUL in a script's name": Bad(ON_APP + tasks('id: a, run: {sql_file: §"a\\0.sql", on: app}')[len(HEAD):], "U+0000"),
}  # fmt: skip

FILES = {
    "empty": Bad(b"", "the file is empty"),
    "blank": Bad(b" \n\n  \n", "the file is empty"),
    "only comments": Bad(b"# wesley: 1\n# name: x\n", "the file is empty"),
    "only a byte order mark": Bad(b"\xef\xbb\xbf", "the file is empty"),
    "UTF-16 with a mark": Bad((HEAD + TASKS).encode("utf-16"), "not UTF-8"),
    "UTF-16 without": Bad((HEAD + TASKS).encode("utf-16-le"), "U+0000"),
    "UTF-32": Bad((HEAD + TASKS).encode("utf-32"), "not UTF-8"),
    "latin-1": Bad("wesley: 1\nname: caf\xe9\n".encode("latin-1"), "not UTF-8: byte 0xe9"),
    "latin-1 in a comment": Bad((HEAD + "# caf\xe9\n" + TASKS).encode("latin-1"), "not UTF-8"),
    "cut in a character": Bad((HEAD + TASKS + "# 北").encode()[:-1], "not UTF-8"),
    "an overlong character": Bad(HEAD.encode() + b"# \xc0\xaf\n", "not UTF-8"),
    "a surrogate": Bad(HEAD.encode() + b"# \xed\xa0\x80\n", "not UTF-8"),
    "NUL": Bad(HEAD + "§\0" + TASKS, "U+0000"),
    "all NUL": Bad(b"\0" * 4096, "U+0000"),
    "escape": Bad(HEAD + "# §\x1b[2J\n" + TASKS, "U+001B"),
    "CSI": Bad(HEAD + "# §\x9b2J\n" + TASKS, "U+009B"),
    "form feed": Bad(HEAD + "§\x0c" + TASKS, "U+000C"),
    "an ELF binary": Bad(b"\x7fELF\x02\x01\x01" + b"\0" * 9 + bytes(range(256)), "not UTF-8"),
    "gzip": Bad(b"\x1f\x8b\x08\0\0\0\0\0\0\3\xed", "not UTF-8"),
    "a SQLite database": Bad(b"SQLite format 3\0" + b"\x10\0\1\1" + b"\0" * 80, "U+0000"),
    "bidi in the open": Bad(HEAD + "tasks:\n  - {id: §a\u202eb, run: {shell: x}}\n", "a name begins"),
    "old Macintosh lines": Bad((HEAD + TASKS + "§workrs: 3\n").replace("\n", "\r"), "unknown key"),
    "lines of both kinds": Bad((HEAD + TASKS).replace("\n", "\r\n") + "§workrs: 3\n", "unknown key"),
}  # fmt: skip

LARGE = {
    "a name of a megabyte": Bad(f"wesley: 1\nname: §{'x' * 1_000_000}\n" + TASKS, "is longer than 200 characters"),
    "an id of a megabyte": Bad(tasks(f"id: §{'x' * 1_000_000}, run: {{shell: x}}"), "is longer than 100 characters"),
    "a need of a megabyte": Bad(tasks(f"id: a, run: {{shell: x}}, needs: [§{'x' * 1_000_000}]"), "is longer than 100"),
    "a key of a megabyte": Bad(HEAD + f'? §"{"x" * 1_000_000}"\n: 1\n' + TASKS, "unknown key"),
    "a policy of a megabyte": Bad(HEAD + f"policy: §{'x' * 1_000_000}\n" + TASKS, "is not one of"),
    "a duration of a megabyte": Bad(tasks(f"id: a, run: {{shell: x}}, duration: §{'9' * 1_000_000}s"), "more than a year"),
    "a number of a megabyte": Bad(HEAD + f"workers: §{'9' * 1_000_000}\n" + TASKS, "is not a whole number"),
    "a tag of a megabyte": Bad(HEAD + f"interpreter: §!{'x' * 1_000_000} y\n" + TASKS, "the tag"),
    "an anchor of a megabyte": Bad(HEAD + f"interpreter: §*{'x' * 1_000_000}\n" + TASKS, "unknown anchor"),
    "variables that never close": Bad(HEAD + "targets: {app: {postgres: §'" + "${A:-" * 200_000 + "'}}\n" + TASKS, "a variable is written"),
    "a variable in a variable": Bad(HEAD + "targets: {app: {sqlite: §'${A:-${B}}'}}\n" + TASKS, "a variable is written"),
    "a mistake behind a megabyte": Bad(tasks(f"id: a, run: {{shell: {'x' * 1_000_000}}}, §xx: 1"), 'unknown key "xx"'),
    "a mistake on a wide line": Bad(tasks(f"id: a, run: {{shell: {'北' * 1000}}}, §xx: 1"), 'unknown key "xx"'),
    "a mistake after a million lines": Bad(HEAD + "#\n" * 1_000_000 + "§workrs: 1\n" + TASKS, 'unknown key "workrs"'),
}  # fmt: skip


def _unseen() -> Iterator[tuple[str, Bad]]:
    for place, (text, said) in PLACES.items():
        for name, escape in UNSEEN.items():
            yield f"{name} in {place}", Bad(HEAD + text.format(escape), said)


FAMILIES: dict[str, dict[str, Bad]] = {
    "aliases": ALIASES, "cycle": CYCLES, "twice": DUPLICATES, "name": NAMES, "unseen": dict(_unseen()),
    "nesting": NESTING, "yaml": YAML_TRAPS, "shape": SHAPES, "path": PATHS, "file": FILES, "large": LARGE,
}  # fmt: skip
CORPUS = {f"{family}: {name}": bad for family, cases in FAMILIES.items() for name, bad in cases.items()}
