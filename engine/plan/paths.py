"""Paths that a plan names: they start from its folder, and stay in it unless that is allowed."""

from pathlib import Path


class PathRefused(ValueError):
    """A path that a plan may not name; the message says why, without the path, `hint` what to do about it."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


def resolve_path(base: Path, path: str, *, allow_outside: bool = False) -> Path:
    """`path` from the folder `base`: absolute, with symbolic links followed.

    Raises PathRefused where it leads out of `base` (by `..`, from the root, or through a link) and that is
    not allowed, and where it cannot be followed (a circle of links, a name too long, a closed folder).
    """
    try:
        resolved = (base / path).resolve()
        resolved.exists()
    except OSError as error:
        raise PathRefused(f"the path cannot be followed: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:
        raise PathRefused("the path cannot be followed") from error
    if not allow_outside and not resolved.is_relative_to(base.resolve()):
        raise PathRefused(
            "the path leads out of the plan's folder", "move it into the folder, or give --allow-outside"
        )
    return resolved
