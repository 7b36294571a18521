"""The report page: one HTML file, made from a run and nothing else."""
