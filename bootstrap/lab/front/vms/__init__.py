"""VMs and containers: creation, clones, config, power, guest agent, images."""
