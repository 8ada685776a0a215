"""Results in files: which storage, which file, what is in it; writing and reading. Users import ``results.py``."""
