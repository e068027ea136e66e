"""Who there is: people, branches, and what each may do."""
