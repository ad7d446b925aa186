"""What bytes look like: requests, responses, limits, events, errors, cursors, streams.

Pure: no I/O, no store, no state but caches of what the SDK's types say.
"""
