"""The command palette and the shortcut sheet, driven by keys through the window."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from app.settings import Settings
from app.ui.matching import match_score
from app.ui.palette import CommandPalette
from app.ui.shortcut_dialog import RESERVED, ShortcutDialog
from tests.ui.bench import Bench

pytestmark = pytest.mark.usefixtures("no_dialogs")

NONE = Qt.KeyboardModifier.NoModifier
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def palette(bench: Bench) -> CommandPalette:
    bench.window.activateWindow()  # the offscreen platform leaves that to us
    bench.qtbot.waitUntil(bench.window.isActiveWindow)
    bench.key(Qt.Key.Key_P, CONTROL | SHIFT)
    found = bench.window.findChildren(CommandPalette)
    assert len(found) == 1
    bench.qtbot.waitUntil(found[0].isActiveWindow)
    return found[0]


def shown(palette: CommandPalette) -> list[tuple[str, str]]:
    rows = (palette.list.topLevelItem(n) for n in range(palette.list.topLevelItemCount()))
    return [(row.text(0), row.text(1)) for row in rows]


def enter(bench: Bench, text: str) -> None:
    found = palette(bench)
    bench.qtbot.keyClicks(found.line, text)
    bench.qtbot.keyClick(found.line, Qt.Key.Key_Return)
    bench.qtbot.waitUntil(lambda: not bench.window.findChildren(CommandPalette))


def test_words_in_any_order_and_letters_in_order_find_a_command():
    text = "Edit: Copy to next slice"
    for query in ("copy next", "NEXT copy", "cop sli", "slïce", "ctns"):
        assert match_score(query, text) > 0, query
    for query in ("copy brush", "snct", "xyz"):
        assert match_score(query, text) == 0, query


def test_a_word_that_begins_a_word_fits_better_than_one_inside():
    assert match_score("fit", "View: Fit") > match_score("fit", "Segment: Benefit")
    assert match_score("box", "Segment: Box") > match_score("box", "Segment: Boxes")


def test_a_command_is_found_by_letters_and_done_with_enter(bench):
    document = bench.open()
    bench.session.label_editing.add("more")
    assert len(document.label_table) == 3
    enter(bench, "undo")
    assert len(document.label_table) == 2


def test_it_shows_keys_and_why_something_cannot_be_done(bench):
    found = palette(bench)
    rows = dict(shown(found))
    assert rows["File: Open image"] == "Ctrl+O"
    assert rows["File: Save mask"] == "Open a scan first."
    found.close()
    bench.qtbot.waitUntil(lambda: not bench.window.findChildren(CommandPalette))
    bench.open()
    rows = dict(shown(palette(bench)))
    assert rows["File: Save mask"] == "Ctrl+S"
    assert rows["Edit: Undo"] == "There is nothing to undo."


def test_enter_on_what_cannot_be_done_leaves_it_open(bench):
    found = palette(bench)
    bench.qtbot.keyClicks(found.line, "carry through")
    assert shown(found)[0][1] == "Open a scan first."
    bench.qtbot.keyClick(found.line, Qt.Key.Key_Return)
    assert found.isVisible()
    bench.qtbot.keyClick(found.line, Qt.Key.Key_Escape)
    assert not found.isVisible()


def test_what_was_used_last_comes_first_also_after_a_restart(bench):
    bench.open()
    enter(bench, "crosshair")
    enter(bench, "layout row")
    rows = [title for title, _ in shown(palette(bench))]
    assert rows[:2] == ["View: Layout: row", "View: Crosshair"]
    assert Settings.load().recent_commands == ["layout_row", "crosshair"]


def test_arrow_keys_choose_while_typing(bench):
    bench.open()
    found = palette(bench)
    bench.qtbot.keyClicks(found.line, "layout")
    wanted = shown(found)[1][0]
    bench.qtbot.keyClick(found.line, Qt.Key.Key_Down)
    bench.qtbot.keyClick(found.line, Qt.Key.Key_Return)
    assert wanted.endswith(bench.window.grid.layout_name)


def test_it_jumps_to_a_label_by_name(bench):
    bench.open()
    enter(bench, "label: lesion")
    assert bench.session.view_state.active_label == 2
    enter(bench, "organ")
    assert bench.session.view_state.active_label == 1


@pytest.mark.parametrize(
    ("typed", "cursor"),
    [
        ("slice 3", (2, 20, 22)),
        ("7", (6, 20, 22)),
        ("coronal 31", (10, 30, 22)),
        ("sag 44", (10, 20, 43)),
    ],
)
def test_it_jumps_to_a_slice_as_people_count(bench, typed, cursor):
    bench.open()
    enter(bench, typed)
    assert bench.session.view_state.cursor_zyx == cursor


def test_a_slice_that_is_not_there_is_not_jumped_to(bench):
    bench.open()
    before = bench.session.view_state.cursor_zyx
    found = palette(bench)
    bench.qtbot.keyClicks(found.line, "slice 21")
    assert shown(found)[0] == ("Slice: Axial 21 of 20", "There are 20 slices.")
    bench.qtbot.keyClick(found.line, Qt.Key.Key_Return)
    assert bench.session.view_state.cursor_zyx == before


def leave(bench: Bench, sheet: ShortcutDialog) -> None:
    sheet.close()
    bench.window.activateWindow()  # the offscreen platform leaves that to us
    bench.qtbot.waitUntil(bench.window.isActiveWindow)


# -- shortcuts --------------------------------------------------------------------------------


@pytest.fixture
def sheet(bench) -> ShortcutDialog:
    bench.open()
    bench.window.activateWindow()  # the offscreen platform leaves that to us
    bench.qtbot.waitUntil(bench.window.isActiveWindow)
    bench.key(Qt.Key.Key_Question)
    (found,) = bench.window.findChildren(ShortcutDialog)
    bench.qtbot.waitUntil(found.isActiveWindow)
    return found


def test_the_sheet_lists_every_action_under_its_menu(bench, sheet):
    tree = sheet.tree
    groups = [tree.topLevelItem(n).text(0) for n in range(tree.topLevelItemCount())]
    assert groups[:3] == ["File", "Edit", "View"]
    listed = [row.data(0, Qt.ItemDataRole.UserRole) for row in sheet.rows]
    assert {name for name in listed if name} == set(bench.window.actions_table.actions)


def test_the_sheet_is_searched_by_name_and_by_key(bench, sheet):
    for query in ("carry", "ctrl+return"):
        sheet.line.clear()
        bench.qtbot.keyClicks(sheet.line, query)
        assert [r.text(0) for r in sheet.rows if not r.isHidden()] == ["Carry through"]


def test_other_keys_work_at_once_and_after_a_restart(bench, sheet):
    sheet.choose("outline")
    bench.qtbot.keyClick(sheet.keys, Qt.Key.Key_J)
    leave(bench, sheet)
    before = bench.session.view_state.outline
    bench.key(Qt.Key.Key_O)
    assert bench.session.view_state.outline == before
    bench.key(Qt.Key.Key_J)
    assert bench.session.view_state.outline != before
    assert Settings.load().shortcuts == {"outline": "J"}
    bench.session.settings = Settings.load()
    assert "(J)" in bench.window.actions_table["outline"].toolTip()


def test_keys_that_are_taken_are_swapped_only_when_told(bench, sheet):
    table = bench.window.actions_table
    sheet.choose("tool_point")
    bench.qtbot.keyClick(sheet.keys, Qt.Key.Key_B)
    assert "“Box”" in sheet.note.text()
    assert (table.keys("tool_point"), table.keys("tool_box")) == ("P", "B")
    bench.qtbot.mouseClick(sheet.swap_button, Qt.MouseButton.LeftButton)
    assert (table.keys("tool_point"), table.keys("tool_box")) == ("B", "P")
    leave(bench, sheet)
    bench.key(Qt.Key.Key_P)
    assert bench.session.view_state.active_tool == "box"
    bench.key(Qt.Key.Key_B)
    assert bench.session.view_state.active_tool == "point"


def test_swapping_leaves_the_other_keys_of_an_action(bench, sheet):
    table = bench.window.actions_table
    sheet.choose("fit")
    bench.qtbot.keyClick(sheet.keys, Qt.Key.Key_Y, CONTROL)
    bench.qtbot.mouseClick(sheet.swap_button, Qt.MouseButton.LeftButton)
    assert table.keys("fit") == "Ctrl+Y"
    assert table.keys("redo") == "Ctrl+Shift+Z|F"


def test_keys_that_move_in_the_views_are_refused(bench, sheet):
    sheet.choose("fit")
    bench.qtbot.keyClick(sheet.keys, Qt.Key.Key_PageUp)
    assert "cannot be given away" in sheet.note.text()
    assert bench.window.actions_table.keys("fit") == "F"
    assert "PgUp" in RESERVED


def test_everything_can_be_reset(bench, sheet):
    table = bench.window.actions_table
    before = {spec.id: table.keys(spec.id) for spec in table}
    sheet.choose("tool_point")
    bench.qtbot.mouseClick(sheet.remove_button, Qt.MouseButton.LeftButton)
    sheet.choose("fit")
    bench.qtbot.keyClick(sheet.keys, Qt.Key.Key_J)
    assert not table["tool_point"].shortcuts()
    bench.qtbot.mouseClick(sheet.default_button, Qt.MouseButton.LeftButton)
    assert table.keys("fit") == "F"
    bench.qtbot.mouseClick(sheet.reset_button, Qt.MouseButton.LeftButton)
    assert {spec.id: table.keys(spec.id) for spec in table} == before
    assert Settings.load().shortcuts == {}
