"""Switching the changes on and off, and telling what is on.

This is the only wing that changes anything in kazoo: it has the table of the changes, the contract
of what must be there for them, and the registry that applies and undoes them. What a row puts into
kazoo lives in ``changes``.
"""
