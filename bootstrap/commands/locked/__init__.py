"""Commands that act: one holder at a time, a plan, a run, and notes for the command that continues."""
