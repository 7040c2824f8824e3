"""Folders and archives, one kind a file: each gives its files one by one, as entries."""
