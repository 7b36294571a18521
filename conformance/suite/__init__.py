"""The suite that pytest collects, `pytest --pyargs lossconform.suite`: one module a group of checks."""
