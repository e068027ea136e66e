"""Work beside requests and messages: supervised loops, periodic jobs, and the priority they run at."""
