"""A worker: one supervisor process and its children."""
