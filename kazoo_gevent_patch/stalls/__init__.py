"""Whether an event loop stands still, and what that means for the sessions on it.

A stall is noticed and reported here. Nothing here sends a byte.
"""
