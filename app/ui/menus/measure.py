"""The Measure menu: tables, lines on slices, another mask beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.session import Message
from app.ui import dialogs
from app.ui.actions import ActionSpec

if TYPE_CHECKING:
    from app.ui.main_window import MainWindow


def specs(window: MainWindow) -> list[ActionSpec]:
    """Return the actions of the menu, in its order."""
    session, tr = window.session, window.tr
    measurements, panel = session.measurements, window.measurement_panel

    def is_open() -> bool:
        return session.document is not None

    def is_compared() -> bool:
        return measurements.comparison is not None

    def show_panel() -> None:
        dock = panel.parentWidget()
        if dock is not None:
            dock.show()
            dock.raise_()

    def save_table() -> None:
        text = panel.text()
        folder = Path(session.settings.last_folder or ".")
        path = dialogs.ask_save_table(window, folder / "measures.csv")
        if path is not None:
            session.figures.save_text(path, text)

    def save_report() -> None:
        folder = Path(session.settings.last_folder or ".")
        path = dialogs.ask_save_report(window, folder / "report.pdf")
        if path is not None:
            session.figures.save_report(path)

    def compare() -> None:
        path = dialogs.ask_mask(window, session.settings.last_folder)
        if path is not None:
            show_panel()
            measurements.compare(path)

    def flip_disagreement() -> None:
        measurements.show_disagreement(not measurements.shows_disagreement)

    def copy() -> None:
        panel.copy()
        session.message.emit(Message(tr("Copied.")))

    return [
        ActionSpec("measure_show", "Measure", tr("Table of measures"), "Ctrl+M", show_panel),
        ActionSpec("measure_copy", "Measure", tr("Copy the table"), "", copy, is_open),
        ActionSpec("measure_csv", "Measure", tr("Save the table…"), "", save_table, is_open),
        ActionSpec("report", "Measure", tr("Save a report of one page…"), "", save_report, is_open),
        ActionSpec(
            "mark_delete",
            "Measure",
            tr("Delete the line"),
            "Delete",
            measurements.remove_selected,
            lambda: measurements.selected_mark != 0,
            needs=tr("Click a ruler, an angle or a diameter first."),
        ),
        ActionSpec(
            "volume_range",
            "Measure",
            tr("Volume with its range"),
            "",
            session.figures.estimate_volume,
            is_open,
            hint=tr("Asks the model again with boxes drawn a little differently."),
        ),
        ActionSpec("compare", "Measure", tr("Compare with a mask…"), "", compare, is_open),
        ActionSpec(
            "compare_show",
            "Measure",
            tr("Show disagreement"),
            "",
            flip_disagreement,
            is_compared,
            lambda: measurements.shows_disagreement,
            needs=tr("Compare with a mask first."),
        ),
        ActionSpec(
            "compare_end",
            "Measure",
            tr("End the comparison"),
            "",
            measurements.end_comparison,
            is_compared,
            needs=tr("Compare with a mask first."),
        ),
    ]
