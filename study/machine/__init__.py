"""The machine a process runs on: its devices, memory, cores and software."""
