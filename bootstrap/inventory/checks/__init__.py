"""What single values cannot tell: whether they go together."""
