"""What the program and the environment chose: options, variables, monkey patching.

Nothing here acts on a choice.
"""
