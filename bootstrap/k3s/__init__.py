"""What k3s is: its versions, settings, files and words. Pure text and tables."""
