"""What people see of runs while they run: logs, progress, events, metrics, traces."""
