"""Acts: the runner and the handlers of the steps."""
