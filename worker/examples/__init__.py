"""Jobs to try the market with."""
