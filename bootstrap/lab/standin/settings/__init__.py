"""Settings of servers and agents, and what a machine is by them."""
