"""Recipes: one study a file, each defining `study`. They pick combinations and define nothing."""
