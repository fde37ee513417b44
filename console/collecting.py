"""The collector of garbage, which is off while a command starts (`cli.main`).

Modules, plan and first screen are made once, and stay: looking through them again and again as they grow
takes a tenth of the start."""

import gc


def collect_from_here() -> None:
    """Look for garbage from now on, but not in what there is."""
    gc.freeze()
    gc.enable()
