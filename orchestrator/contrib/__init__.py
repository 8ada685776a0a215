"""Bridges to other people's frameworks, one package each. Nothing of ours imports them."""
