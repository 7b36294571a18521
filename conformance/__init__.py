"""lossconform: conformance tests of cross-entropy-family losses against a certified reference.

Light on purpose: importing it loads neither pytest nor a framework.
"""

__version__ = "0.1.0"
