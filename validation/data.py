"""Where the shipped protocols, templates and regulatory catalogues lie, in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(*parts: str) -> Path:
    """Return the path of a shipped data file, such as ``shipped("templates", "catalogue", "claims.yaml")``.

    A wheel carries the folders ``protocols`` and ``templates`` under ``validation/_data``; a checkout has them
    beside the package. The path is returned even if nothing lies there, so that the caller's error names it.
    """
    installed = _PACKAGE / "_data"
    root = installed if installed.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)
