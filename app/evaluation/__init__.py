"""How good a model is, measured beside methods that know nothing. Qt-free."""
