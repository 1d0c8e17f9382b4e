"""The command `maskwright`: the window, or one of the commands of `app.cli`."""

from __future__ import annotations

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
