"""What runs inside a sandbox: the init program and the tools bash, read, write, edit, glob, grep.

Standard library only, Python 3.9 and later, threads and blocking descriptors. A sandbox starts as
fast as this package imports, so its modules load neither `typing` nor `dataclasses`, and what
only some calls need (regular expressions, base64, signals) is imported by those calls.

Nothing here guards anything: the tools run as the agent's own user, and everything they say is
hostile to whoever listens. The walls are the sandbox's.
"""
