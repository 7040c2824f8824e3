"""Results, checkpoints and claims in a folder or bucket."""
