"""Machines as a run meets them: their agent, host key, shell and scripts."""
