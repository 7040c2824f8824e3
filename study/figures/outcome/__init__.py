"""Figures of what came out: accuracy, training loss, and what moved them."""
