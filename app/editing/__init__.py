"""Editing masks: pure functions on boolean arrays, and the operations that are made of them."""
