"""Types of objects: fields of built-in kinds, decoding, defaults."""
