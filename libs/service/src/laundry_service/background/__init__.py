"""Work in the background: supervised loops, periodic jobs, and the priority they run at."""
