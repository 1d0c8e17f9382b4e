"""What tests of the window share."""

from __future__ import annotations

import pytest

from app.ui import dialogs
from tests.fake_model import bright_model  # noqa: F401
from tests.ui.bench import Bench


@pytest.fixture
def bench(qtbot, qapp, bright_model) -> Bench:  # noqa: F811
    return Bench(qtbot, qapp)


@pytest.fixture
def no_dialogs(monkeypatch):
    """Fail on any question that a test did not answer."""
    for name in ("ask_image", "ask_folder", "ask_save", "ask_series", "ask_unsaved", "show_text"):

        def refuse(*arguments, name=name):
            raise AssertionError(f"the dialog {name} was not expected")

        monkeypatch.setattr(dialogs, name, refuse)
