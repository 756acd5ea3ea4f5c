"""What the rows of the patch table put into kazoo, one module for each part of kazoo.

A function here runs in the place of one of kazoo's, or around it. Nothing here decides whether a
change applies; that lives in ``patching``.
"""
