"""`settings`: what the operator has set, and what there is to set."""

from console.exits import Exit
from console.settings.file import load_settings, render_settings, settings_file


def print_settings() -> Exit:
    print(render_settings(load_settings(), settings_file()))
    return Exit.OK
