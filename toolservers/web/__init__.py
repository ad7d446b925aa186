"""The tools web_fetch and web_search, for a sandbox of their own.

What strangers wrote is read here and nowhere else: pages and PDFs in programs of their own, which
need the parsers that the gateway shows (``--libraries``). All traffic goes through the egress
proxy; what may be fetched is decided outside, and checked here again for a clear answer.
"""
