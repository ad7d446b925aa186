"""Links: what is sealed into one comes out of it, and of no other."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vault.links import Link, read
from gateway.vault.seal import NotOurs, Seal

LINK = Link(approval="appr_1", decision="approve", approver="user_1", expires_at=17)


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Seal:
    return Seal.at(tmp_path_factory.mktemp("vault"))


def test_a_token_gives_back_its_link(seal: Seal):
    assert read(seal, "appr_1", LINK.token(seal)) == LINK


def test_a_token_is_good_for_its_approval_alone(seal: Seal):
    with pytest.raises(NotOurs):
        read(seal, "appr_2", LINK.token(seal))


def test_a_token_of_another_gateway_is_worth_nothing(seal: Seal, tmp_path: Path):
    with pytest.raises(NotOurs):
        read(seal, "appr_1", LINK.token(Seal.at(tmp_path)))


def test_a_secret_sealed_for_something_else_is_no_link(seal: Seal):
    from base64 import urlsafe_b64encode

    other = urlsafe_b64encode(seal.close('["approve","user_1",17]', row="tokens/appr_1")).decode()
    with pytest.raises(NotOurs):
        read(seal, "appr_1", other)


@given(token=st.text(max_size=300))
def test_no_text_is_a_link_by_chance(seal: Seal, token: str):
    with pytest.raises(NotOurs):
        read(seal, "appr_1", token)
