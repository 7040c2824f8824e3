"""From configs to trials that can run, and what they cost."""
