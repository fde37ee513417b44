"""Python functions: `module:function` from the plan's folder, in a child interpreter of its own."""

import json
import shutil
from pathlib import Path
from typing import Any

from engine.plan.models import FailureClass
from engine.tasks.base import Evidence, Job, Outcome, Succeeded, not_done
from engine.tasks.classify import Verdict, failed
from engine.tasks.exits import exit_failed
from engine.tasks.process import RESULT_BYTES, Ended, run_process
from engine.tasks.resources import probe_resource

_OURS = Path(__file__).resolve().parents[2]
"""Where this program's own packages are. The child must not come to lean on them."""

_BOOTSTRAP = r"""
import json, os, sys, traceback
from importlib.machinery import PathFinder

folder, name, function, ours, back = sys.argv[1:]
os.set_inheritable(int(back), False)


class Hidden:
    @staticmethod
    def find_spec(module, path=None, target=None):
        if path is not None or module not in ("engine", "console", "themes", "sample_plans"):
            return None
        found = PathFinder.find_spec(module, path)
        places = found and (list(found.submodule_search_locations or ()) or [found.origin])
        if places and os.path.dirname(os.path.realpath(places[0])) == ours:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return None


def load():
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name and (name + ".").startswith(error.name + "."):
            print(f"there is no module {error.name!r}, neither in {folder} nor installed", file=sys.stderr)
            sys.exit(127)
        raise
    try:
        return getattr(sys.modules[name], function)
    except AttributeError:
        print(f"module {name!r} has no function {function!r}", file=sys.stderr)
        sys.exit(127)


def hand_back(value):
    try:
        text = json.dumps({"result": value}, allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps({"dropped": type(value).__name__})
    with open(int(back), "w", encoding="utf-8") as stream:
        stream.write(text)


sys.argv = [name]
sys.path.insert(0, folder)
sys.meta_path.insert(0, Hidden)
try:
    hand_back(load()())
except Exception as error:
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    sys.exit(1)
"""


def interpreter_path(interpreter: str, folder: Path) -> str | None:
    """Where the interpreter of a plan is: found by name, or relative to the plan's folder. None: nowhere."""
    return shutil.which(interpreter if "/" not in interpreter else str(folder / interpreter))


class PythonExecutor:
    """Runs Python functions. A verify that returns something false is not done; None, as an assertion that
    held would return, and everything else is done. An exception tells nothing."""

    async def run(self, job: Job) -> Outcome:
        interpreter = interpreter_path(job.interpreter, job.folder)
        if interpreter is None:
            verdict = Verdict(FailureClass.PERMANENT, "engine: no interpreter")
            return failed(job, verdict, _no_interpreter(job.interpreter), effect="none")
        module, _, function = (job.action.python or "").partition(":")
        flags = ["-I", "-B", "-u", "-X", "utf8"]
        program = ["-c", _BOOTSTRAP, str(job.folder.absolute()), module, function, str(_OURS)]
        ended = await run_process(job, [interpreter, *flags, *program], hands_back=True)
        if not isinstance(ended, Ended):
            return ended
        if ended.code != 0:
            return exit_failed(job, ended.code, out_of_memory=ended.out_of_memory)
        return _returned(job, ended.result)

    async def evidence(self, job: Job, *, end_survivors: bool = False) -> Evidence:  # noqa: ARG002
        return Evidence(done=None, detail=f"a Python function leaves no record of attempt {job.attempt}")

    async def probe(self, resource: str, job: Job) -> tuple[bool, str]:
        return probe_resource(resource, job.folder)


def _no_interpreter(interpreter: str) -> str:
    return f"the interpreter `{interpreter}` is not there; name another one with `interpreter:` in the plan"


def _returned(job: Job, result: bytes) -> Outcome:
    """The outcome of a function that came to its end: its work is done even if its value cannot be kept."""
    handed: dict[str, Any] = {}
    if len(result) > RESULT_BYTES:
        handed = {"dropped": f"value of more than {RESULT_BYTES // 1024} KiB"}
    elif result:
        handed = json.loads(result)
    dropped = handed.get("dropped", "" if handed else "nothing")
    value = handed.get("result")
    if job.purpose == "verify":
        if dropped:
            verdict = Verdict(FailureClass.UNKNOWN, "engine: verify without a verdict")
            reason = f"a verify returns True or False, but this one returned {dropped}"
            return failed(job, verdict, reason, effect="none")
        return Succeeded() if value is None or value else not_done(job, f"it returned {value!r}")
    if dropped and handed:
        job.output.note(f"… the returned {dropped} cannot be kept as an output")
    return Succeeded(outputs={} if value is None else {"result": job.output.clean_value(value)})
