"""Links that answer an approval without an API key: whoever holds one may use it.

A link is good for one answer to one approval, in the name of one approver, until the approval
expires. What it says is sealed with the data directory's key: nobody else can make one, read one,
or change what one is good for. That it is used once is the approval's own doing: it is settled
then.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from typing import Literal

from gateway.vault.seal import NotOurs, Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one link is good for."""

    approval: str
    decision: Literal["approve", "deny"]
    approver: str
    """In whose name it answers."""
    expires_at: int

    def token(self, seal: Seal) -> str:
        """The secret part of the link, safe in a URL."""
        said = json.dumps([self.decision, self.approver, self.expires_at], separators=(",", ":"))
        return urlsafe_b64encode(seal.close(said, row=_row(self.approval))).decode().rstrip("=")


def read(seal: Seal, approval: str, token: str) -> Link:
    """The link to an approval that has this token.

    Raises:
        NotOurs: The token was made for another approval, or elsewhere, or was changed.
    """
    try:
        sealed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (Error, UnicodeEncodeError) as error:
        raise NotOurs("not a token") from error
    decision, approver, expires_at = json.loads(seal.open(sealed, row=_row(approval)))
    return Link(approval=approval, decision=decision, approver=approver, expires_at=expires_at)


def _row(approval: str) -> str:
    return f"approvals/{approval}/link"
