"""What every room knows of a run."""
