"""What panels ask of the screen that they are on: dialogs and lines, and to give out what they show."""

from textual import on
from textual.screen import Screen

from console.export import Export, Exportable, copy
from console.messages import EventRequested, LineRequested, OutputRequested
from console.run_view import RunView
from console.screens.line import LineScreen
from console.screens.output import OutputScreen
from console.screens.saving import SaveDialog
from console.sentences import in_full


class PanelScreen(Screen[None]):
    view: RunView

    def action_copy(self) -> None:
        if export := self._of_the_panel_in_focus():
            copy(self.app, export)

    def action_save(self) -> None:
        if export := self._of_the_panel_in_focus():
            self.app.push_screen(SaveDialog(export))

    def _of_the_panel_in_focus(self) -> Export | None:
        above = self.focused.ancestors_with_self if self.focused else ()
        return next((each.export() for each in above if isinstance(each, Exportable)), None)

    @on(OutputRequested)
    def _show_output(self, message: OutputRequested) -> None:
        task_id, number = message.task_id, message.attempt
        title = f"output of attempt {number} of {task_id}"
        stem = f"{self.view.state.run}-{task_id}-attempt-{number}"
        self.app.push_screen(OutputScreen(self.view, title, stem, lambda: self.view.output(task_id, number)))

    @on(EventRequested)
    def _show_event(self, message: EventRequested) -> None:
        event = message.event
        stem = f"{self.view.state.run}-event-{event.seq}"
        lines = in_full(event)
        self.app.push_screen(OutputScreen(self.view, f"event {event.seq}", stem, lambda: lines))

    @on(LineRequested)
    def _ask_for_a_line(self, message: LineRequested) -> None:
        self.app.push_screen(LineScreen(message.prompt, message.value, message.hint, message.changed))
