"""The certified reference: what a case is, and what its exact answer is. It knows no framework."""
