"""Server-sent events: each change arrives, or the client is told to fetch anew.

What a client does: open the stream; list once it greets; take each change over what is known; list again
after each ``reset``; when the stream ends, come back after a pause and begin anew. What changes while a list
is on its way is newer than the list.
"""
