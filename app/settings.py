"""What the program remembers between starts: typed, versioned JSON in the user's folder."""

from __future__ import annotations

import base64
import json
import logging
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

logger = logging.getLogger(__name__)

VERSION = 1
MAX_RECENT = 12
MAX_COMMANDS = 20
FONT_SIZES = range(11, 25)
DEVICES = ("auto", "cpu", "cuda")
_APP = "maskwright"


def _user_dir(kind: str, default: str) -> Path:
    home = os.environ.get("MASKWRIGHT_HOME")
    return Path(home) / kind if home else Path(default)


def user_config_dir() -> Path:
    """Return the folder of settings; ``MASKWRIGHT_HOME`` overrides it."""
    return _user_dir("config", platformdirs.user_config_dir(_APP, appauthor=False))


def user_data_dir() -> Path:
    """Return the folder of imported models and kept work; ``MASKWRIGHT_HOME`` overrides it."""
    return _user_dir("data", platformdirs.user_data_dir(_APP, appauthor=False))


def user_models_dir() -> Path:
    """Return the folder of imported models."""
    return user_data_dir() / "models"


def user_cache_dir() -> Path:
    """Return the folder of what can be computed again; ``MASKWRIGHT_HOME`` overrides it."""
    return _user_dir("cache", platformdirs.user_cache_dir(_APP, appauthor=False))


def make_private_folders() -> None:
    """Make the user's folders for this user alone: work, caches and settings lie below them.

    A folder that cannot be made or changed is only logged; whoever needs it says so.
    """
    for folder in (user_config_dir(), user_data_dir(), user_cache_dir()):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            logger.info("A folder of the user cannot be made private: %s", error)


@dataclass
class Settings:
    """Everything that is remembered. Unknown or damaged entries of the file are left out.

    Attributes
    ----------
    mouse_scheme : "pacs", "research" or ""
        What the right button does; empty until the user was asked.
    recent_files : list of str
        Newest first.
    window_geometry, window_state : str
        Base64 of what Qt saves.
    view_layout : str
        How the planes are arranged.
    maximised_view : int
        The pane that is shown alone: the axis of a plane, 3 for the 3-D view, -1 for none.
    last_tool : str
        Id of the tool that was in hand last.
    shortcuts : dict of action id to shortcut
        Only those that differ from what the action came with.
    cache_megabytes, disk_cache_megabytes : int
        Of slices that are prepared for the model, in memory and on the disk.
    font_px : int
        Size of the window's text, which its controls go by.
    tour_done : bool
        Whether the tour of the first start was finished or skipped.
    recent_commands : list of str
        Ids of what was done through the command palette, newest first.
    """

    mouse_scheme: str = ""
    recent_files: list[str] = field(default_factory=list)
    window_geometry: str = ""
    window_state: str = ""
    view_layout: str = ""
    maximised_view: int = -1
    last_tool: str = ""
    overlay_opacity: float = 0.45
    outline: bool = True
    last_folder: str = ""
    device: str = "auto"
    model_id: str = ""
    shortcuts: dict[str, str] = field(default_factory=dict)
    undo_megabytes: int = 256
    cache_megabytes: int = 512
    disk_cache_megabytes: int = 4096
    font_px: int = 13
    tour_done: bool = False
    recent_commands: list[str] = field(default_factory=list)

    def add_recent(self, path: Path) -> None:
        """Put a file or folder at the head of the recent ones, and save."""
        text = str(Path(path).absolute())
        self.recent_files = [text, *(p for p in self.recent_files if p != text)][:MAX_RECENT]
        self.last_folder = str(Path(text).parent)
        self.save()

    def add_command(self, action_id: str) -> None:
        """Put a command at the head of those used lately, and save."""
        others = (c for c in self.recent_commands if c != action_id)
        self.recent_commands = [action_id, *others][:MAX_COMMANDS]
        self.save()

    def save(self, path: Path | None = None) -> None:
        """Write the settings; a folder that cannot be written is only logged."""
        path = path or settings_path()
        text = json.dumps({"version": VERSION, **asdict(self)}, indent=1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The folder is private: what a crash leaves in it goes with the next attempt.
            part = path.with_name(f".{path.name}.part")
            try:
                part.write_text(text, encoding="utf-8")
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            logger.info("The settings cannot be saved: %s", error)

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Return the saved settings, or the defaults where they are missing or damaged."""
        path = path or settings_path()
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            logger.info("The settings cannot be read, using defaults: %s", error)
            return cls()
        settings = cls()
        if not isinstance(stored, dict):
            return settings
        for item in fields(cls):
            value = stored.get(item.name)
            default = getattr(settings, item.name)
            if isinstance(default, float) and type(value) is int:
                value = float(value)
            if type(value) is type(default) and _makes_sense(item.name, value):
                setattr(settings, item.name, value)
        for name in ("recent_files", "recent_commands"):
            setattr(settings, name, [v for v in getattr(settings, name) if isinstance(v, str)])
        settings.shortcuts = {k: v for k, v in settings.shortcuts.items() if isinstance(v, str)}
        return settings


def _makes_sense(name: str, value: Any) -> bool:
    """Return whether a value of the right type can be used for an entry."""
    if name == "mouse_scheme":
        return value in ("", "pacs", "research")
    if name == "overlay_opacity":
        return 0.0 <= value <= 1.0
    if name == "font_px":
        return value in FONT_SIZES
    if name == "device":
        return value in DEVICES
    if name == "maximised_view":
        return -1 <= value <= 3
    if name.endswith("_megabytes"):
        return bool(value >= 0)
    if name in ("window_geometry", "window_state"):
        try:
            base64.b64decode(value, validate=True)
        except ValueError:
            return False
    return True


def settings_path() -> Path:
    """Return the file of the settings."""
    return user_config_dir() / "settings.json"
