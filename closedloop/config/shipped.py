"""Where the files are that come with the package: in the wheel, or in the checkout."""

from pathlib import Path

from closedloop.errors import ConfigError


def shipped_folder(name: str) -> Path:
    """Return the folder ``devices``, ``limits``, ``pipelines``, ``recordings`` or ``schema``.

    Raises
    ------
    ConfigError
        Where neither the installed package nor a checkout around it has the folder.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "share" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder {name}/ did not come with closedloop at {package}: install it again")
