"""`check` and `schema`: the plan language, with nothing started."""

import json
import os
from pathlib import Path

from console.exits import Exit, say


def check_plan(path: Path, *, as_json: bool, allow_outside: bool) -> Exit:
    from console.look import plural
    from engine.plan.errors import PlanErrors, render
    from engine.plan.load import load_plan
    from engine.plan.sql.scripts import scripts

    try:
        loaded = load_plan(path, allow_outside=allow_outside)
    except PlanErrors as errors:
        if not as_json:
            raise
        print(json.dumps({"ok": False, **errors.as_dict()}, indent=2))
        return Exit.USAGE
    lacking = [*loaded.missing_variables(os.environ), *loaded.unfit_servers(os.environ)]
    warnings = [*loaded.warnings, *lacking]
    plan = loaded.plan
    found = scripts(plan)
    if as_json:
        summary = {"name": plan.name, "tasks": len(plan.tasks), "model": plan.model, "policy": plan.policy}
        told = {"ok": True, "plan": summary, "errors": [], "warnings": [each.as_dict() for each in warnings]}
        print(json.dumps({**told, "sql": [script.as_dict() for script in found]}, indent=2))
        return Exit.OK
    if found:
        from console.radar import report

        print(report(found), end="\n\n")
    if warnings:
        say(render(warnings))
    verdict = f"in order, with {plural(len(warnings), 'warning')}" if warnings else "in order"
    tasks = plural(len(plan.tasks), "task")
    print(f"{path}: {verdict}: {plan.name}, {tasks}, {plan.model}, {plan.workers} lanes")
    return Exit.OK


def print_schema() -> Exit:
    from engine.plan.schema import plan_schema

    print(json.dumps(plan_schema(), indent=2))
    return Exit.OK
