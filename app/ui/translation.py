"""The language of the window: that of the system, where there is a translation."""

from __future__ import annotations

from PySide6.QtCore import QLibraryInfo, QLocale, QTranslator
from PySide6.QtWidgets import QApplication

from resources import resource_path


def install_translations(
    application: QApplication, locale: QLocale | None = None
) -> list[QTranslator]:
    """Translate the window and Qt's own dialogs; return what has to be kept alive.

    Without a translation of the window, Qt's dialogs stay English, too: half a language is worse.
    """
    locale = locale or QLocale.system()
    qt_folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    installed = []
    for name, folder in (("maskwright", str(resource_path("translations"))), ("qtbase", qt_folder)):
        translator = QTranslator()
        if not translator.load(locale, name, "_", folder):
            break
        application.installTranslator(translator)
        installed.append(translator)
    return installed
