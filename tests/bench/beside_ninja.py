"""`shell: "true"` through the whole engine with 4 lanes, beside `ninja -j4` on the same graph.

The graph is layered: 50 tasks wide, each with three needs in the layer before. The engine is timed from the
first event of the run to the last, in a process of its own, with its journal on the disk, the output of each
attempt kept, and each process written down before it starts; ninja from the start of its process to the end.
What the whole command takes, start-up and reading the plan included, is told besides.

    python -m tests.bench.beside_ninja [--tasks 500] [--rounds 5]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measuring import in_turn, verdict
from tests.bench.resume_time import layers

AIM = 2.0
LANES = 4
_RUN = "from console.cli import main; main()"


def write_graph(folder: Path, tasks: int) -> None:
    """The same graph for both."""
    plan = ["wesley: 1", "name: bench", f"workers: {LANES}", "checkpoints: {progress: 100}", "tasks:"]
    ninja = ["rule nothing", "  command = true"]
    for task, needs in layers(tasks).items():
        plan.append(f"  - {{id: {task}, run: {{shell: 'true'}}, needs: [{', '.join(needs)}]}}")
        ninja.append(f"build {task}: nothing {' '.join(needs)}")
    (folder / "plan.yaml").write_text("\n".join(plan) + "\n")
    (folder / "build.ninja").write_text("\n".join(ninja) + "\n")


def ninja(folder: Path) -> float:
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("ninja")), f"-j{LANES}", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    (folder / ".ninja_log").unlink()
    return took


class Engine:
    """Runs of the plan in `folder`. `whole` are the times of the whole commands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.whole: list[float] = []

    def run(self) -> float:
        """Seconds from the first event of a run to its last."""
        command = [sys.executable, "-c", _RUN, "run", "plan.yaml", "--headless", "--json"]
        with tempfile.TemporaryDirectory() as state:
            began = time.perf_counter()
            said = subprocess.run(
                [*command, "--state-dir", state], cwd=self._folder, check=True, capture_output=True
            ).stdout
            self.whole.append(time.perf_counter() - began)
        return float(json.loads(said.splitlines()[-1])["t"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_graph(folder, told.tasks)
        engine = Engine(folder)
        took = in_turn(told.rounds, {"ninja -j4": lambda: ninja(folder), "the engine, 4 lanes": engine.run})
    took["the whole command"] = sorted(engine.whole)[len(engine.whole) // 2]
    bare = took["ninja -j4"]
    print(f"{told.tasks} times `true`; median of {told.rounds} rounds")
    for name, each in took.items():
        print(f"  {name:<22} {each / told.tasks * 1e6:>8.0f} µs a task {each / bare:>6.2f} ×")
    print(f"  {verdict(took['the engine, 4 lanes'] / bare, AIM)}")


if __name__ == "__main__":
    main()
