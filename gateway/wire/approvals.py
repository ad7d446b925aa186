"""The body that answers an approval: ours, in the manner of the SDK's."""

from typing import Literal, Required

from typing_extensions import TypedDict


class ApprovalAnswerParams(TypedDict, total=False):
    decision: Required[Literal["approve", "deny"]]
    message: str | None
    """Why it is denied, for the model to read."""
