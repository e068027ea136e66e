"""Web Push (RFC 8030): browsers that take pushes with every page closed."""
