"""Maskwright: box-to-mask segmentation of CT and MRI on a desktop."""

__version__ = "0.1.0"
