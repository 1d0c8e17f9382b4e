"""Which font draws which letters of a report, and which letters none can.

No font lies in this repository. Three kinds are asked in turn: the ones that every PDF reader has,
for Western Europe; one of this machine's own, whose letters that are used go into the file; and
the ones that readers bring or fetch for Chinese, Japanese and Korean, which know Greek and
Cyrillic without accents, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby
from xml.sax.saxutils import escape

_PLAIN = "Helvetica"
# Files that systems have; where they lie is known to reportlab.
_OWN = (
    *("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "arial.ttf", "Arial Unicode.ttf"),
    *("msgothic.ttc", "simsun.ttc", "malgun.ttf", "wqy-microhei.ttc"),
)
# Fonts of readers, each with the character set that it holds.
_READERS = (
    ("HeiseiKakuGo-W5", "euc_jp"),
    ("STSong-Light", "gb2312"),
    ("MSung-Light", "big5"),
    ("HYGothic-Medium", "euc_kr"),
)
_UNKNOWN = "?"


class Letters:
    """Writes text as markup with a font for each letter.

    Attributes
    ----------
    missing : set of str
        Letters that no font draws; each stands on the page as "?".
    lent : set of str
        Letters whose font is not in the file but the reader's.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.lent: set[str] = set()

    def markup(self, text: str) -> str:
        """Return text for a reportlab paragraph; what is special in its markup is escaped."""
        fonts = [(name, knows) for name, knows in _fonts() if any(map(knows, text))]
        # One font for as much as possible: a word in two of them is ugly.
        fonts.sort(key=lambda font: -sum(map(font[1], text)))
        runs = groupby(text, lambda letter: next((n for n, k in fonts if k(letter)), ""))
        return "".join(self._run(name, "".join(letters)) for name, letters in runs)

    def _run(self, name: str, letters: str) -> str:
        if not name:
            self.missing.update(letters)
            return _UNKNOWN * len(letters)
        return (
            escape(letters) if name == _PLAIN else f'<font name="{name}">{escape(letters)}</font>'
        )


@cache
def _fonts() -> tuple[tuple[str, Callable[[str], bool]], ...]:
    """Return the fonts, registered, each with what tells whether it has a letter."""
    return tuple(_found())


def _found() -> Iterator[tuple[str, Callable[[str], bool]]]:
    # Here, because it would add to every start of the program.
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFError, TTFont

    yield _PLAIN, partial(_is_in, "cp1252")
    for file_name in _OWN:
        try:
            font = TTFont(file_name.partition(".")[0], file_name)
        except TTFError:
            continue
        pdfmetrics.registerFont(font)
        yield font.fontName, partial(_has_glyph, font.face.charToGlyph)
    for name, charset in _READERS:
        pdfmetrics.registerFont(UnicodeCIDFont(name))
        yield name, partial(_is_in, charset)


def _has_glyph(glyphs: Mapping[int, int], letter: str) -> bool:
    return ord(letter) in glyphs


def _is_in(charset: str, letter: str) -> bool:
    try:
        letter.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
