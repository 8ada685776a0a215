"""How a worker is: probes and metrics over HTTP."""
