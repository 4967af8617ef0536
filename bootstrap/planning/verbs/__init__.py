"""One plan per verb."""
