"""Dead letters and what an operator does about them; the command line is ``commands.dead_letters``."""
