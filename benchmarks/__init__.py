"""What the README's numbers come from. Each prints a table, or JSON with --json."""
