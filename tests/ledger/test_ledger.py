"""The ledger and the tests agree."""

import re

from tests.ledger.awaiting import NOT_YET_CITED
from tests.ledger.catalogue import ALL, citations, table

_IDS = [requirement.id for requirement in ALL]
_DEFERRED = {requirement.id for requirement in ALL if requirement.deferred is not None}


def test_every_id_is_written_once_in_the_agreed_form():
    assert len(_IDS) == len(set(_IDS))
    form = re.compile(r"[a-z-]+:[a-z-]+:[a-z0-9-]+")
    assert [name for name in _IDS if not form.fullmatch(name)] == []


def test_every_requirement_says_what_a_client_sees_and_where_it_is_promised():
    unclear = [r.id for r in ALL if not r.behaviour.endswith((".", "...")) or " " not in r.source]
    assert unclear == []


def test_every_requirement_that_is_not_deferred_has_a_test():
    missing = set(_IDS) - _DEFERRED - set(citations())
    assert missing - NOT_YET_CITED == set(), "cite these with @requirement(...)"


def test_no_test_cites_a_requirement_that_does_not_exist():
    unknown = {name: files for name, files in citations().items() if name not in _IDS}
    assert unknown == {}


def test_the_list_of_requirements_that_await_a_test_only_shrinks():
    assert set(citations()) & NOT_YET_CITED == set(), "take these out of awaiting.py"
    assert NOT_YET_CITED - set(_IDS) - _DEFERRED == set(), "these do not exist"


def test_the_table_has_a_row_for_every_requirement():
    assert sum(line.startswith("| ") for line in table().splitlines()) == len(_IDS) + len(
        [line for line in table().splitlines() if line.startswith("| Behaviour")]
    )
