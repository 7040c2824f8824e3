"""Images as files of any layout: their classes, their identity, and their way into one array."""
