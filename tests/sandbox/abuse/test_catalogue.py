"""The list of probes, the tests and the page agree."""

from tests.sandbox.abuse.catalogue import (
    COLUMNS,
    GROUPS,
    PAGE,
    PROBES,
    citations,
    is_test,
    proofs,
    with_table,
)

NUMBERS = [probe.number for probe in PROBES]
LISTED = range(1, 86)
"""Other people's, which we took over; ours begin at 101."""


def test_every_number_is_there_once():
    assert len(NUMBERS) == len(set(NUMBERS))
    assert set(LISTED) - set(NUMBERS) == set()


def test_every_probe_is_in_a_group_and_names_only_columns_that_are():
    columns = {column.name for column in COLUMNS}
    assert [probe.number for probe in PROBES if probe.group not in GROUPS] == []
    assert [p.number for p in PROBES if {*p.open, *p.instead} - columns] == []


def test_every_probe_has_a_proof_or_says_which_tests_it_awaits():
    cited = citations()
    unproved = [probe.number for probe in PROBES if not proofs(probe, cited)]
    assert unproved == [p.number for p in PROBES if p.awaits is not None]


def test_every_test_that_is_named_exists():
    assert [name for probe in PROBES for name in probe.tests if not is_test(name)] == []


def test_no_test_cites_a_probe_that_does_not_exist():
    assert set(citations()) - set(NUMBERS) == set()


def test_the_table_of_the_page_is_what_the_data_makes():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "run: python -m tests.sandbox.abuse.catalogue"
