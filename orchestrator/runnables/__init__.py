"""What tasks and flows have in common: signature, options, registry."""
