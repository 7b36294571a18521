"""Known deviations of the frameworks, one TOML file a framework; read by `lossconform.expectations`."""
