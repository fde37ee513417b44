"""The pinned plan: any plan comes back as it was, and one plan has one hash."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plan.models import Plan, parse_plan_data
from engine.plan.pinned import pin, plan_hash, unpin
from tests.plan.written import load_text

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,6}", fullmatch=True)
lines = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
seconds = st.floats(0, 1e6)
shares = st.floats(0, 1)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


backfills = st.builds(
    lambda needed, optional: needed | optional,
    st.fixed_dictionaries({"table": st.just('shop."or""ders"'), "key": st.just("id"), "sql": lines}),
    some(
        batch=st.integers(1, 9), pause=seconds,
        throttle=some(lag=st.floats(1, 9), every=seconds).map(lambda found: found | {"lock_waits": 1}),
    ),
)  # fmt: skip
actions = st.one_of(
    st.fixed_dictionaries({"sql": lines, "on": names}),
    st.fixed_dictionaries({"sql_file": lines, "on": names}),
    st.fixed_dictionaries({"backfill": backfills, "on": names}),
    st.fixed_dictionaries({"shell": lines}),
    st.just({"python": "module:function"}),
    st.fixed_dictionaries({"simulate": some(duration=seconds, exit=st.integers(0, 255), output=lines)}),
)
rules = st.one_of(
    *(
        st.fixed_dictionaries({key: value, "as": st.sampled_from(["transient", "permanent"])})
        for key, value in {"exit": st.integers(0, 255), "sqlstate": st.just("55P03"), "output": lines}.items()
    )
)
tasks = st.builds(
    lambda needed, optional: needed | optional,
    st.fixed_dictionaries({"id": names, "run": actions}),
    some(
        name=lines, rollback=actions, verify=actions, needs=st.lists(names), wave=names, phase=names,
        duration=seconds, effort=st.floats(0.01, 99), value=st.integers(1, 10), risk=shares,
        critical=st.booleans(), idempotent=st.booleans(), uses=st.dictionaries(names, st.integers(1, 9)),
        locks=st.lists(names), timeout=seconds, lock_timeout=seconds, classify=st.lists(rules, max_size=3),
    ),
)  # fmt: skip
plans = st.builds(
    lambda needed, optional: parse_plan_data({"wesley": 1} | needed | optional),
    st.fixed_dictionaries({"name": lines, "tasks": st.lists(tasks, min_size=1, max_size=4)}),
    some(
        model=st.sampled_from(["wave", "rolling"]), workers=st.integers(1, 9), interpreter=lines,
        targets=st.dictionaries(names, st.just({"sqlite": "x.db"}) | st.just({"postgres": "${URL}"})),
        resources=st.dictionaries(names, st.integers(1, 9)),
        checkpoints=some(every=seconds, progress=st.integers(1, 100), before_risk=shares),
        retry=some(attempts=st.integers(0, 9), base=seconds, jitter=st.booleans()),
        defaults=some(timeout=seconds, lock_timeout=seconds, lock_patience=seconds), phases=st.lists(names),
        waves=st.lists(some(name=lines).flatmap(lambda wave: names.map(lambda name: wave | {"id": name}))),
    ),
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(plans)
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    pinned = pin(plan)
    again = unpin(pinned)
    assert again == plan
    assert pin(again) == pinned
    assert plan_hash(again) == plan_hash(plan)


@settings(deadline=None, max_examples=50)
@given(plans, st.integers(1, 9), lines)
def test_a_plan_that_differs_has_another_hash(plan: Plan, workers: int, name: str) -> None:
    other = plan.model_copy(update={"workers": workers, "name": name})
    assert (plan_hash(plan) == plan_hash(other)) == (plan == other)


def test_one_plan_has_one_hash_however_it_is_written(tmp_path: Path) -> None:
    first = "wesley: 1\nname: shop\nretry: {base: 90s}\ntasks: [{id: a, run: {shell: x}, value: 1}]\n"
    other = 'tasks:\n  - run: {"shell": x}\n    id: a\nretry: {base: 1m30s}\nname: "shop"\n'
    other += "workers: 4\nwesley: 1\n"
    plans = [load_text(tmp_path, text).plan for text in (first, other)]
    assert pin(plans[0]) == pin(plans[1])
    assert json.loads(pin(plans[0])) == {
        "name": "shop",
        "retry": {"base": 90.0},
        "tasks": [{"id": "a", "run": {"shell": "x"}}],
        "wesley": 1,
    }


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b'{"wesley": 2}', b'{"wesley": 1, "name": "x", "tasks": []}']
)
def test_what_is_no_pinned_plan_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        unpin(damaged)
