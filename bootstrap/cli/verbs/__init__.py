"""One module per verb: options in, text out."""
