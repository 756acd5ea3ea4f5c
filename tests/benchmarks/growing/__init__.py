"""Work that grows: each workload is done at four sizes, each twice the one before.

What a unit costs at each size is drawn against the size.
"""
