"""Dead letters and what an operator does about them; the command line and the operations service share it."""
