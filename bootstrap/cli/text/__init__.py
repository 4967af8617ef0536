"""What is printed: tables, lines, documents."""
