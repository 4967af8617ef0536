"""A recorded run as a critical path, a Chrome trace, and an HTML page. Pure: documents in, text out."""
