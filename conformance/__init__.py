"""lossconform: conformance tests of cross-entropy-family losses against a certified reference.

Light on purpose: importing it loads neither pytest nor a framework.
"""

import importlib

__version__ = "0.1.0"

_LAZY = {"conformance_tests": "lossconform.testing"}
"""Public names, and the modules that they are in (PEP 562)."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
