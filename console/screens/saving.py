"""Asks where to save something; never writes over a file."""

from pathlib import Path
from typing import ClassVar

import anyio
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from console.export import Export, file_name, save_new
from console.look import one_line


class SaveDialog(ModalScreen[None]):
    """Asks for the file's name until it could be written, or the operator leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back", id="saving.back")]
    DEFAULT_CSS = """
    SaveDialog #saving-problem { color: $error; height: auto; }
    SaveDialog Input { margin: 1 0 0 0; }
    """

    def __init__(self, export: Export) -> None:
        super().__init__(classes="dialog")
        self.what = export

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box") as box:
            box.border_title = "Save to a file"
            box.border_subtitle = "enter saves, esc goes back"
            yield Static(self.what.what, markup=False)
            yield Input(str(Path.cwd() / file_name([self.what.stem])), compact=True)
            yield Static("", id="saving-problem", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    async def _save(self, event: Input.Submitted) -> None:
        path = Path(event.value.strip())
        try:
            size = await anyio.to_thread.run_sync(save_new, path, self.what.write_to)
        except FileExistsError:
            self._say(f"{path} exists already, and is left as it is: choose another name")
        except (OSError, ValueError) as error:
            self._say(f"It could not be saved: {getattr(error, 'strerror', None) or error}")
        else:
            self.dismiss(None)
            self.app.notify(f"Saved to {one_line(str(path))}, {size:,} bytes", markup=False)

    def _say(self, problem: str) -> None:
        self.query_one("#saving-problem", Static).update(one_line(problem))
