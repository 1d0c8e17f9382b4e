"""What the window remembers: closed and opened again, it looks as before."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QCoreApplication, QPoint, QRect, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDockWidget

from app.settings import Settings
from app.ui.main_window import MainWindow
from app.ui.window_memory import FIRST_LAYOUT
from tests.workspace.bench import Bench, write_image

pytestmark = [
    pytest.mark.usefixtures("bright_model"),
    # The offscreen platform says so of panels that float.
    pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True),
]


@pytest.fixture
def start(qtbot, tmp_path):
    """Return a function that starts the program with what it remembers, on a scan."""
    image = tmp_path / "scans" / "tube.nii.gz"
    write_image(image, 1)

    def start() -> MainWindow:
        bench = Bench(Settings.load())
        window = MainWindow(bench.session)
        qtbot.addWidget(window)
        window.show()
        bench.open(image)
        return window

    return start


def dock(window: MainWindow, name: str) -> QDockWidget:
    return window.findChild(QDockWidget, name)


def test_panels_views_and_tool_are_as_they_were(start):
    window = start()
    window.resize(780, 650)
    left = Qt.DockWidgetArea.LeftDockWidgetArea
    window.addDockWidget(left, dock(window, "labels"))
    window.grid.set_layout("row")
    window.grid.maximise(1)
    window.actions_table.run("tool_lasso")
    size = window.size()
    window.close()
    again = start()
    assert again.size() == size
    assert again.dockWidgetArea(dock(again, "labels")) is left
    assert again.grid.layout_name == "row"
    assert again.grid.maximised == 1
    assert [panel.isVisible() for panel in again.grid.panels] == [False, True, False]
    assert again.session.view_state.active_tool == "lasso"
    again.close()


def test_a_window_of_a_larger_screen_fits_this_one(start):
    window = start()
    room = window.screen().availableGeometry()
    window.setGeometry(QRect(room.right() - 200, room.bottom() - 100, 3000, 2500))
    window.close()
    again = start()
    QCoreApplication.processEvents()
    assert room.contains(again.frameGeometry())
    again.close()


def test_the_first_window_leaves_room_for_its_frame(start):
    window = start()
    room = window.screen().availableGeometry()
    assert window.width() <= room.width() - 4
    assert window.height() <= room.height() - 40
    window.close()


def test_a_panel_that_floated_on_a_screen_that_is_gone_is_back(start):
    window = start()
    panel = dock(window, "segment")
    panel.setFloating(True)
    panel.move(QPoint(20_000, 20_000))
    window.close()
    again = start()
    panel = dock(again, "segment")
    screens = [screen.availableGeometry() for screen in QGuiApplication.screens()]
    assert not panel.isFloating() or any(s.intersects(panel.frameGeometry()) for s in screens)
    assert panel.isVisible() or again.tabifiedDockWidgets(panel)
    again.close()


def test_the_tool_in_hand_stays_when_another_scan_is_opened(start, tmp_path):
    window = start()
    assert window.session.view_state.active_tool == "box"
    window.actions_table.run("tool_navigate")
    window.memory.take_tool()
    assert window.session.view_state.active_tool == "navigate"
    window.close()


def test_reset_puts_panels_and_views_back(start):
    window = start()
    area = window.dockWidgetArea(dock(window, "labels"))
    window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock(window, "labels"))
    dock(window, "edit").setFloating(True)
    window.grid.set_layout("tall")
    window.grid.maximise(2)
    window.actions_table.run("reset_layout")
    assert window.dockWidgetArea(dock(window, "labels")) == area
    assert not dock(window, "edit").isFloating()
    assert window.grid.layout_name == FIRST_LAYOUT
    assert all(panel.isVisible() for panel in window.grid.panels)
    window.close()


def test_a_state_with_other_panels_is_left_alone(start):
    Settings(window_state="AAAA", view_layout="gone", last_tool="gone").save()
    window = start()
    assert window.grid.layout_name == FIRST_LAYOUT
    assert window.session.view_state.active_tool == "box"
    assert dock(window, "labels").isVisible()
    window.close()
