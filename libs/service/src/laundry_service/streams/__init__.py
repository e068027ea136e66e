"""Server-sent events: every change arrives, or the client is told to refetch.

What a client does: open the stream; list once it greets; take each change over what is known; list again
after each ``reset``; when the stream ends, reconnect after a pause. What changes while a list
is on its way is newer than the list.
"""
