"""A service as small as one can be, to try the supervisor with."""
