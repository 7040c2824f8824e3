"""MLflow's pages: what they show of a study at once, and their server on this machine."""
