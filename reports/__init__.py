"""Reports: what a run is, how runs are merged, counted and shown. They know no framework and no test."""
