"""What the console does about attempts under way: opens the dialogs, and tells what came of interventions."""

from collections.abc import Sequence

from console.run_view import RunView
from console.theming import ThemedApp
from console.underway import adjustable, came_of, waiting
from engine.machine import events as ev


class Interfering(ThemedApp):
    """An app with `view` before it, of which an operator has selected a task."""

    view: RunView
    actor: str

    @property
    def selected_task(self) -> str:
        raise NotImplementedError

    def action_lock_wait(self) -> None:
        """Of the selected task, if that waits; else of the one that has done so for longest."""
        from console.screens.lock_wait import LockWaitDialog  # late: it is seldom needed

        task = self._selected_of(waiting(self.view.state))
        self.push_screen(LockWaitDialog(self.view, task, actor=self.actor))

    def action_adjust(self) -> None:
        from console.screens.adjusting import AdjustDialog  # likewise

        task = self._selected_of(adjustable(self.view.state))
        self.push_screen(AdjustDialog(self.view, task, actor=self.actor))

    def _selected_of(self, tasks: Sequence[str]) -> str:
        return self.selected_task if self.selected_task in tasks else tasks[0]

    def tell_of_intervention(self, event: ev.InterventionRefused | ev.InterventionEnded) -> None:
        """Where the dialog that asked is still open, it tells that itself."""
        from console.screens.lock_wait import LockWaitDialog

        if not any(isinstance(screen, LockWaitDialog) for screen in self.screen_stack):
            done, told = came_of(event)
            self.notify(told, title=event.task, severity="information" if done else "warning", markup=False)
