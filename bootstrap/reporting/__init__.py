"""What a recorded run shows: its critical path, a Chrome trace, a page. Pure: documents in, text out."""
