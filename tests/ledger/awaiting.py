"""Requirements that no test proves yet. An id leaves when its test comes; none may be added."""

NOT_YET_CITED: frozenset[str] = frozenset()
