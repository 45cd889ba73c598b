"""Where a file is that another file, or a user, names."""

from pathlib import Path

from closedloop.config.shipped import shipped_folder
from closedloop.errors import ConfigError


def find_file(path: str | Path, shelf: str, beside: Path | None) -> Path:
    """Return a file by its path, or by its name from the shelf of such files.

    Parameters
    ----------
    path
        A path, or a name without its suffix.
    shelf
        ``pipelines`` or ``devices``.
    beside
        A folder, beside which such a shelf may stand as well; it is looked at first.

    Raises
    ------
    ConfigError
        Where there is none.
    """
    given = Path(path)
    try:
        given.stat()
        return given
    except OSError as error:
        if given.suffix in {".yaml", ".yml"}:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    shelves = [shipped_folder(shelf)]
    if beside is not None:
        shelves.insert(0, beside.parent / shelf)
    for folder in shelves:
        if (folder / f"{path}.yaml").is_file():
            return folder / f"{path}.yaml"
    known = sorted({file.stem for folder in shelves for file in folder.glob("*.yaml")})
    raise ConfigError(f"{path}: there is no such file, and none of that name in {shelf}/ (there: {', '.join(known)})")
