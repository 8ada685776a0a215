"""One run is executed: attempts, their steps, flows."""
