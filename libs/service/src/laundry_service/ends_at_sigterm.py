"""Lets SIGTERM end a process that still imports what it needs; a server answers to it later in its own way.

A ``__main__`` imports this before what takes long.
"""

from laundry_service.background.ending import end_at_sigterm

end_at_sigterm()
