"""Why a run could not be started, or taken up again, before anything of it was written down."""

from collections.abc import Sequence


class CannotStart(Exception):
    """A plan that is in order, but cannot be run here and now. `problems` holds a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
