"""The commands. What they need is loaded when they run, so that `check` and `simulate` start at once."""
