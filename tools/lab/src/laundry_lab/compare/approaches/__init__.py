"""DD-02's approaches, each small and whole: one workload, one kind of work, one row for each effect."""
