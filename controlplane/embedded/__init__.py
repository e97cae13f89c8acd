"""Backing services started on this machine when no address is given for them."""
