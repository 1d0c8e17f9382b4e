"""What tests of the window share."""

from tests.fake_model import bright_model  # noqa: F401
