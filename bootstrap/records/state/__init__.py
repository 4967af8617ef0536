"""The items of a cluster's state directory on this computer."""
