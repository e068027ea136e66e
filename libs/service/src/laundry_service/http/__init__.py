"""HTTP as every service speaks it: limits of the server, checks of input, problem documents, probes."""
