"""What a service holds of people, said once for each table: for export and erasure (decision 32)."""
