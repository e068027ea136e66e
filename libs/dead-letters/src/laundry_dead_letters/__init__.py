"""Dead letters and what an operator does with them; shared by the command line and the operations service."""
