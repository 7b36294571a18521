"""What cases are drawn from: regimes for accuracy, small cases for meaning."""
