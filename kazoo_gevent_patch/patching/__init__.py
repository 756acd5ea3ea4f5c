"""Switching the changes on and off, and telling what is on.

This is the only wing that changes anything in kazoo: it has the table of the changes and the
registry that applies and undoes its rows. What a row puts into kazoo lives in ``changes``.
"""
