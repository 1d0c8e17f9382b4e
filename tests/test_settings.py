"""Settings: a damaged file costs its damaged entries, never the start of the program."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from app.settings import (
    MAX_RECENT,
    Settings,
    make_private_folders,
    settings_path,
    user_cache_dir,
    user_config_dir,
    user_data_dir,
)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "settings.json"


def write(path: Path, **entries: object) -> Settings:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return Settings.load(path)


def test_everything_that_is_saved_is_read_back(path):
    settings = Settings(
        mouse_scheme="research",
        recent_files=["/scans/Müller.nii.gz"],
        window_geometry="AdnQ",
        overlay_opacity=0.25,
        outline=False,
        shortcuts={"fit": "Ctrl+F"},
        undo_megabytes=64,
    )
    settings.save(path)
    assert Settings.load(path) == settings


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe\x00", b'{"undo_megabytes": 1e999}']
)
def test_a_damaged_file_means_the_defaults(path, content):
    path.write_bytes(content)
    assert Settings.load(path) == Settings()


def test_a_missing_file_or_a_folder_in_its_place_means_the_defaults(path):
    assert Settings.load(path) == Settings()
    path.mkdir()
    assert Settings.load(path) == Settings()


def test_unknown_entries_are_left_out_and_the_good_ones_kept(path):
    settings = write(path, version=99, from_the_future=True, mouse_scheme="pacs")
    assert settings == Settings(mouse_scheme="pacs")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outline", 1),
        ("outline", "yes"),
        ("undo_megabytes", True),
        ("undo_megabytes", -5),
        ("cache_megabytes", "512"),
        ("overlay_opacity", "0.3"),
        ("overlay_opacity", 7.5),
        ("overlay_opacity", float("nan")),
        ("recent_files", "scan.nii"),
        ("shortcuts", ["Ctrl+F"]),
        ("mouse_scheme", None),
        ("mouse_scheme", "backwards"),
        ("window_geometry", "not base64!"),
        ("window_state", "abc"),
    ],
)
def test_an_entry_that_makes_no_sense_is_the_default(path, name, value):
    assert write(path, **{name: value, "last_folder": "/kept"}) == Settings(last_folder="/kept")


def test_damaged_items_of_lists_are_left_out(path):
    settings = write(
        path, recent_files=["a", 3, None, "b"], shortcuts={"fit": "F", "open": 5, "save": None}
    )
    assert settings.recent_files == ["a", "b"]
    assert settings.shortcuts == {"fit": "F"}


def test_whole_numbers_are_taken_for_fractions(path):
    assert write(path, overlay_opacity=1).overlay_opacity == 1.0


def test_the_newest_file_comes_first_once_and_the_list_stays_short(tmp_path):
    settings = Settings()
    for n in range(MAX_RECENT + 3):
        settings.add_recent(tmp_path / f"{n}.nii")
    settings.add_recent(tmp_path / "5.nii")
    assert settings.recent_files[0] == str(tmp_path / "5.nii")
    assert len(settings.recent_files) == len(set(settings.recent_files)) == MAX_RECENT
    assert settings.last_folder == str(tmp_path)
    assert Settings.load(settings_path()).recent_files == settings.recent_files


def test_a_save_that_is_interrupted_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    Settings(mouse_scheme="pacs").save(path)

    def no_space(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    Settings(mouse_scheme="research").save(path)
    assert Settings.load(path).mouse_scheme == "pacs"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(tmp_path):
    (tmp_path / "file").write_text("in the way")
    Settings().save(tmp_path / "file" / "settings.json")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(sys.platform == "win32", reason="folders there belong to their user anyway")
def test_nobody_else_can_look_into_the_folders_of_the_user(user_home):
    (user_home / "cache").mkdir(mode=0o755)  # as an earlier version left it
    make_private_folders()
    for folder in (user_config_dir(), user_data_dir(), user_cache_dir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == user_home
