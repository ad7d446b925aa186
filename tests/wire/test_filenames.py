"""Names that come from programs; what uploads are called is tested with the API."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.filenames import MAX_NAME, SNIFFED, filename, media_type, tame


@given(st.binary(min_size=1, max_size=300).filter(lambda name: name not in (b".", b"..")))
def test_every_name_of_linux_becomes_one_that_is_allowed(name: bytes):
    tamed = tame(name)
    assert 1 <= len(tamed) <= MAX_NAME
    assert filename(tamed, "text/plain") == tamed


@given(st.text(), st.text(), st.binary(max_size=SNIFFED))
def test_every_file_has_a_type_that_a_header_can_carry(declared: str, name: str, head: bytes):
    kind = media_type(declared, name, head)
    assert kind.encode("ascii").count(b"/") == 1
    assert not set(kind) & set(" \r\n;")
