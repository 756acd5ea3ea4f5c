"""What a look inside a running program finds, and how it is asked for from outside.

The records are plain data; each part of a client fills in what it knows of itself. Nothing here
changes a client, or waits for one.
"""
