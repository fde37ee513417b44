"""The plan language, version 1, as models. Every duration is in seconds once it is in here.

These models check what one value can tell by itself; what needs the whole plan (references, cycles,
capacities, wave order) is in `checks.py`. Models are frozen: a plan never changes under a run.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from engine.plan.durations import format_duration, parse_duration


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""The categories of what steers a terminal, turns the direction of text, ends a line or takes no room."""


def _duration(value: object, info: ValidationInfo) -> float:
    # A float is a duration that was parsed before (a plan pinned with its run), never one that was written.
    if isinstance(value, float) and info.context is not AS_WRITTEN:
        return value
    return parse_duration(value)


def _one_line(value: str) -> str:
    if unseen := next((char for char in value if unicodedata.category(char) in _UNSEEN), ""):
        raise ValueError(f"the invisible character U+{ord(unseen):04X} cannot stand in a title")
    return value


def _not_blank(value: str) -> str:
    if "\0" in value:
        raise ValueError("the character U+0000 cannot stand here")
    if not value.strip():
        raise ValueError("there is nothing in it")
    return value


VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:[^}$]|\$(?!\{))*))?\}")
"""A place in a target where the environment is expanded. None stands inside another."""


def _well_formed(value: str) -> str:
    if "${" in VARIABLE.sub("", value):
        raise ValueError("a variable is written ${NAME} or ${NAME:-default}")
    return value


DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^(P[0-9.WDTHMS]+|([0-9]+(\.[0-9]+)?(d|h|ms|m|s))+)$",
    "examples": ["30s", "5m", "1h30m", "PT1H30M"],
}


AS_WRITTEN = {"as": "written"}
"""The validation context for a plan as a person wrote it: there durations have units."""


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(ge=0, allow_inf_nan=False),
    WithJsonSchema(DURATION_SCHEMA),
]
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", min_length=1, max_length=100)]
"""Ids of tasks, phases, waves, pools, locks and targets: letters, digits, `_`, `-` and `.`."""
Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_not_blank)]
Units = Annotated[int, Field(ge=1, le=1_000_000)]

Model = Literal["wave", "rolling"]
PolicyName = Literal["critical-path", "weighted", "fifo"]


class FailureClass(StrEnum):
    """The four published failure classes."""

    TRANSIENT = "transient"
    RESOURCE = "resource"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


class Target(Strict):
    """A database that tasks work on: exactly one of a SQLite file or a PostgreSQL conninfo."""

    sqlite: Annotated[Text, AfterValidator(_well_formed)] | None = None
    postgres: Annotated[Text, AfterValidator(_well_formed)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.sqlite is None) == (self.postgres is None):
            raise ValueError("a target is either `sqlite: FILE` or `postgres: CONNINFO`")
        if self.sqlite == ":memory:":
            raise ValueError("a database in memory is lost between tasks: name a file")
        return self


class Simulated(Strict):
    """A task that does nothing but take time; the way it ends can be told beforehand."""

    duration: Duration | None = None
    exit: int = 0
    output: str = ""


_IDENTIFIER = r'([A-Za-z_][A-Za-z0-9_$]*|"([^"]|"")+")'
ColumnName = Annotated[str, Field(pattern=f"^{_IDENTIFIER}$", max_length=200)]
TableName = Annotated[str, Field(pattern=rf"^{_IDENTIFIER}(\.{_IDENTIFIER})?$", max_length=400)]
"""Names as SQL has them: folded to lower case unless quoted; a table may have its schema before it."""


class Throttle(Strict):
    """What holds a backfill back: each is looked at before a batch, at most once in `every`."""

    lag: Annotated[Duration, Field(gt=0)] | None = None
    lock_waits: Units | None = None
    sql: Text | None = None
    every: Duration = 1.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.lag is None and self.lock_waits is None and self.sql is None:
            raise ValueError("nothing to look at: name at least one of lag, lock_waits, sql")
        return self


class Backfill(Strict):
    """A statement that is run batch by batch along the `key` of `table`, with the key's bounds of each batch
    as `:first` and `:last`."""

    table: TableName
    key: ColumnName
    sql: Text
    batch: Units = 1000
    pause: Duration = 0.05
    throttle: Throttle | None = None


ActionKind = Literal["sql", "sql_file", "backfill", "shell", "python", "simulate"]


class Action(Strict):
    """What a task runs: exactly one of these kinds. `on` names a target and goes with SQL."""

    sql: Text | None = None
    sql_file: Text | None = None
    backfill: Backfill | None = None
    shell: Text | None = None
    python: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    simulate: Simulated | None = None
    on: Name | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            given = ", ".join(kinds) or "none"
            raise ValueError(f"exactly one of {', '.join(_KINDS)} is needed; given: {given}")
        if (self.on is not None) != (kinds[0] in SQL_KINDS):
            raise ValueError("SQL needs `on: TARGET`" if self.on is None else "`on` goes with SQL only")
        return self

    @property
    def kind(self) -> ActionKind:
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def text(self) -> str:
        """The statement, command or function as written, for screens."""
        if self.simulate is not None:
            return "nothing (simulated)"
        if self.backfill is not None:
            return _described(self.backfill)
        return str(getattr(self, self.kind))


_KINDS: tuple[ActionKind, ...] = ("sql", "sql_file", "backfill", "shell", "python", "simulate")
SQL_KINDS: frozenset[ActionKind] = frozenset({"sql", "sql_file", "backfill"})
"""The kinds that work on a target."""


def _described(backfill: Backfill) -> str:
    pause = f", {format_duration(backfill.pause)} between them" if backfill.pause else ""
    along = f"-- in batches of {backfill.batch:,} rows of {backfill.table} by {backfill.key}{pause}"
    return f"{backfill.sql.strip()}\n{along}"


class ClassifyRule(Strict):
    """One rule of a task's `classify` list: the first that matches decides the failure class."""

    exit: int | None = None
    sqlstate: str | None = Field(None, pattern=r"^[0-9A-Z]{2,5}$")
    output: str | None = Field(None, min_length=1)
    as_: FailureClass = Field(alias="as", strict=False)

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if sum(given is not None for given in (self.exit, self.sqlstate, self.output)) != 1:
            raise ValueError("a rule has exactly one of exit, sqlstate, output")
        return self


class Task(Strict):
    """One task. `duration` is in seconds, `effort` in hours, `risk` from 0 to 1."""

    id: Name
    name: Title | None = None
    run: Action
    rollback: Action | None = None
    verify: Action | None = None
    needs: tuple[Name, ...] = Field((), strict=False)
    wave: Name | None = None
    phase: Name | None = None
    duration: Duration | None = None
    effort: Annotated[Number, Field(gt=0)] | None = None
    value: Annotated[Number, Field(gt=0)] = 1.0
    risk: Annotated[Number, Field(ge=0, le=1)] = 0.0
    critical: bool = False
    idempotent: bool = False
    uses: dict[Name, Units] = {}
    locks: tuple[Name, ...] = Field((), strict=False)
    timeout: Duration | None = None
    lock_timeout: Duration | None = None
    classify: tuple[ClassifyRule, ...] = Field((), strict=False)

    @property
    def title(self) -> str:
        return self.name or self.id


class Wave(Strict):
    id: Name
    name: Title | None = None


class CheckpointRules(Strict):
    """When checkpoints are taken. `every` in seconds, `progress` in per cent, `before_risk` from 0 to 1."""

    every: Duration = 1800.0
    progress: Annotated[int, Field(ge=1, le=100)] = 25
    phases: bool = True
    before_risk: Annotated[Number, Field(ge=0, le=1)] = 0.7
    keep: Annotated[int, Field(ge=1, le=1000)] = 10


class RetryRules(Strict):
    """Retries of a TRANSIENT failure: the n-th waits min(base × 2ⁿ, cap) seconds."""

    attempts: Annotated[int, Field(ge=0, le=100)] = 3
    base: Duration = 1.0
    cap: Duration = 30.0
    jitter: bool = False


class Defaults(Strict):
    timeout: Duration | None = None
    lock_timeout: Duration = 1.0
    lock_patience: Duration = 120.0


class Plan(Strict):
    """A whole plan. `base`, the folder that relative paths start from, is not part of the language."""

    wesley: Literal[1]
    name: Title
    model: Model = "rolling"
    workers: Annotated[int, Field(ge=1, le=1000)] = 4
    policy: PolicyName = "critical-path"
    interpreter: Text = "python3"
    targets: dict[Name, Target] = {}
    resources: dict[Name, Units] = {}
    checkpoints: CheckpointRules = CheckpointRules()
    retry: RetryRules = RetryRules()
    defaults: Defaults = Defaults()
    phases: tuple[Name, ...] = Field((), strict=False)
    waves: tuple[Wave, ...] = Field((), strict=False)
    tasks: tuple[Task, ...] = Field(strict=False, min_length=1)


ASSUMED_DURATION_S = 1.0
"""What a task without a `duration` is taken to need, in seconds, wherever a length is forecast."""


def expected_duration(task: Task) -> float:
    """Seconds `task` is expected to run: its simulated length, else its `duration`, else the assumed one."""
    simulated = task.run.simulate.duration if task.run.simulate else None
    for known in (simulated, task.duration):
        if known is not None:
            return known
    return ASSUMED_DURATION_S


def effort_hours(task: Task) -> float:
    """Hours of work in `task`: its `effort`, or its expected duration where it names none; never 0."""
    return task.effort if task.effort is not None else max(expected_duration(task) / 3600, 1e-6)


def lock_timeout(plan: Plan, task: Task) -> float:
    """Seconds that SQL of `task` waits for a database lock at a time."""
    return plan.defaults.lock_timeout if task.lock_timeout is None else task.lock_timeout


def parse_plan_data(data: dict[str, Any]) -> Plan:
    """The Plan in `data`, checked value by value; raises pydantic.ValidationError."""
    return Plan.model_validate(data)
