"""Settings of servers and agents, and the machine's identity."""
