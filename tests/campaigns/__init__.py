"""Long runs against the program, each a command of its own: fuzz, kill, memory, soak."""
