"""Miniatures: losses in plain NumPy, correct ones and ones with exactly one fault, which test the checks themselves.

They are no reference: the reference is `lossconform.reference`, and no code is shared with it.
"""
