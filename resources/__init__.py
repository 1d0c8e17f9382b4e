"""Files that ship with the program: weights, samples, presets, icons, styles."""

from importlib.resources import as_file, files
from pathlib import Path


def resource_path(name: str = "") -> Path:
    """Return the path of a shipped file or folder.

    Parameters
    ----------
    name : str
        Relative to this package, with forward slashes, e.g. ``"samples/torso_ct.nii.gz"``.
        Empty for the folder of the package itself.

    Raises
    ------
    FileNotFoundError
        Nothing of that name ships.
    """
    # The package is always installed unpacked, so the file outlives the context manager.
    with as_file(files(__name__).joinpath(name)) as path:
        if not path.exists():
            raise FileNotFoundError(f"The installation lacks the file {name}; install it again.")
        return path
