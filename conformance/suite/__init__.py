"""The suite that pytest collects: `pytest --pyargs lossconform.suite --framework torch`. One module a group of checks."""
