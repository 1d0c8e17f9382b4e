"""Finds entries by a few words or letters of them, as command palettes do. No Qt."""

from __future__ import annotations

import unicodedata

# A word of the query that begins a word counts most, then one inside it, then letters in order.
_BEGINS, _INSIDE, _SCATTERED = 3.0, 2.0, 1.0


def fold(text: str) -> str:
    """Return a text without case and accents, for comparing."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def match_score(query: str, text: str) -> float:
    """Return how well a text fits a query; 0 if some word of the query is not in it.

    Every word of the query has to be found: at the start of a word, inside one, or as letters that
    come in this order, the first of them at the start of a word ("ctns" finds "Copy to next
    slice"). Shorter texts win among equals.

    >>> match_score("copy next", "Copy to next slice") > match_score("slice", "Copy to next slice")
    True
    >>> match_score("copy brush", "Copy to next slice")
    0.0
    """
    folded = fold(text)
    total = 0.0
    for word in fold(query).split():
        score = _word_score(word, folded)
        if score == 0:
            return 0.0
        total += score
    return total + 1.0 / (1 + len(folded))


def _word_score(word: str, text: str) -> float:
    words = text.replace(":", " ").split()
    if any(w.startswith(word) for w in words):
        # A whole word fits better than the start of a longer one.
        return _BEGINS + (0.5 if word in words else 0.0)
    if word in text:
        return _INSIDE
    best = 0.0
    joined = " ".join(words)
    for start, letter in enumerate(joined):
        is_word_start = start == 0 or joined[start - 1] == " "
        if letter == word[0] and is_word_start:
            span = _span(word, joined[start:])
            if span:
                best = max(best, _SCATTERED * len(word) / span)
    return best


def _span(word: str, text: str) -> int:
    """Return how many letters of a text hold a word's letters in order, from its start; 0: none."""
    at = 0
    for letter in word:
        found = text.find(letter, at)
        if found < 0:
            return 0
        at = found + 1
    return at
