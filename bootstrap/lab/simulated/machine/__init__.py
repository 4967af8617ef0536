"""What a simulated guest consists of: addresses, units, k3s and keepalived."""
