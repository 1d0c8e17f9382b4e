"""Translations of the window: `maskwright_<language>.qm`, made from what `extract` writes."""
