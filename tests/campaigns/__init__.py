"""Long runs against the program, each a command of its own: confidence, fuzz, kill, memory."""
