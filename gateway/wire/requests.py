"""One named validator for each request body: ``AGENT_CREATE.parse(raw)`` gives a plain dict.

Whatever passes here is JSON the store can hold, has the fields the SDK's types promise, and keeps
the limits of `limits.py` and, where the body alone can tell, the rules of `rules.py`. Whether the
things it names exist is for those who hold the store.

Importing the SDK's types costs more than a second, so a validator is built on its first use;
`warm` builds them all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from gateway.wire import body, mistakes, rules
from gateway.wire.tighten import Tightened, tighten


@dataclass(frozen=True)
class Request:
    """The body of one endpoint.

    `module` and `type` name the SDK's type below ``anthropic.types.beta``, or one of ours; `drop`
    are fields of it that travel in the path, `keep` some that travel in a header elsewhere;
    `checks` run on the parsed body.
    """

    module: str
    type: str
    drop: tuple[str, ...] = ()
    checks: tuple[Callable[[dict[str, Any]], None], ...] = field(default=())
    keep: tuple[str, ...] = ()

    def parse(self, raw: bytes, *, strict: bool = True) -> dict[str, Any]:
        """Read a body; unless `strict`, unknown fields are left out instead of refused.

        Raises:
            InvalidRequest: The message names the fields and the rules they break.
        """
        value = body.read(raw)
        tightened = self.tightened(lax=not strict)
        try:
            parsed: dict[str, Any] = tightened.validate(value)
        except ValidationError as error:
            raise mistakes.refuse(error, tightened, value) from error
        for check in self.checks:
            check(parsed)
        return parsed

    def tightened(self, *, lax: bool = False) -> Tightened:
        return _tightened(self, lax)


@cache
def _tightened(request: Request, lax: bool) -> Tightened:
    import_module("anthropic")  # whole: threads that enter it by different doors deadlock
    ours = request.module.startswith("gateway.")
    types = import_module(request.module if ours else f"anthropic.types.beta.{request.module}")
    return tighten(getattr(types, request.type), lax=lax, drop=request.drop, keep=request.keep)


AGENT_CREATE = Request("agent_create_params", "AgentCreateParams", checks=(rules.check_agent,))
AGENT_UPDATE = Request("agent_update_params", "AgentUpdateParams")
ENVIRONMENT_CREATE = Request(
    "environment_create_params", "EnvironmentCreateParams", checks=(rules.check_environment,)
)
ENVIRONMENT_UPDATE = Request("environment_update_params", "EnvironmentUpdateParams")
SESSION_CREATE = Request(
    "session_create_params", "SessionCreateParams", checks=(rules.check_session_create,)
)
SESSION_UPDATE = Request(
    "session_update_params", "SessionUpdateParams", checks=(rules.check_session_update,)
)
EVENTS_SEND = Request("sessions.event_send_params", "EventSendParams", checks=(rules.check_send,))
RESOURCE_ADD = Request("sessions.resource_add_params", "ResourceAddParams")
RESOURCE_UPDATE = Request(
    "sessions.resource_update_params", "ResourceUpdateParams", drop=("session_id",)
)
APPROVAL_ANSWER = Request(
    "gateway.wire.approvals", "ApprovalAnswerParams", checks=(rules.check_approval_answer,)
)
SWITCH_THROW = Request("gateway.wire.policy", "SwitchThrowParams")
SWITCH_LIFT = Request("gateway.wire.policy", "SwitchLiftParams")
ENFORCEMENT = Request("gateway.wire.policy", "EnforcementParams")
API_KEY_CREATE = Request("gateway.wire.people", "APIKeyCreateParams", keep=("workspace_id",))
API_KEY_UPDATE = Request("organization.api_key_update_params", "APIKeyUpdateParams")
WORKSPACE_CREATE = Request(
    "organization.workspace_create_params",
    "WorkspaceCreateParams",
    checks=(rules.check_workspace,),
)
WORKSPACE_UPDATE = Request("organization.workspace_update_params", "WorkspaceUpdateParams")
MEMBER_ADD = Request("organization.workspaces.member_add_params", "MemberAddParams")
MEMBER_UPDATE = Request(
    "organization.workspaces.member_update_params",
    "MemberUpdateParams",
    drop=("workspace_id",),
    checks=(rules.check_member,),
)
USER_CREATE = Request("gateway.wire.people", "UserCreateParams")
USER_UPDATE = Request(
    "organization.user_update_params", "UserUpdateParams", checks=(rules.check_user,)
)
ACCOUNT_CREATE = Request("organization.service_account_create_params", "ServiceAccountCreateParams")
ACCOUNT_UPDATE = Request("organization.service_account_update_params", "ServiceAccountUpdateParams")
WORKER_ADD = Request(
    "organization.workspaces.service_account_add_params", "ServiceAccountAddParams"
)
WORKER_UPDATE = Request(
    "organization.workspaces.service_account_update_params",
    "ServiceAccountUpdateParams",
    drop=("workspace_id",),
)
PLACE_ADD = Request(
    "organization.service_accounts.workspace_add_params",
    "WorkspaceAddParams",
    keep=("workspace_id",),
)

ALL = {
    "agent_create": AGENT_CREATE,
    "agent_update": AGENT_UPDATE,
    "environment_create": ENVIRONMENT_CREATE,
    "environment_update": ENVIRONMENT_UPDATE,
    "session_create": SESSION_CREATE,
    "session_update": SESSION_UPDATE,
    "events_send": EVENTS_SEND,
    "resource_add": RESOURCE_ADD,
    "resource_update": RESOURCE_UPDATE,
    "api_key_create": API_KEY_CREATE,
    "api_key_update": API_KEY_UPDATE,
    "workspace_create": WORKSPACE_CREATE,
    "workspace_update": WORKSPACE_UPDATE,
    "member_add": MEMBER_ADD,
    "member_update": MEMBER_UPDATE,
    "user_create": USER_CREATE,
    "user_update": USER_UPDATE,
    "account_create": ACCOUNT_CREATE,
    "account_update": ACCOUNT_UPDATE,
    "worker_add": WORKER_ADD,
    "worker_update": WORKER_UPDATE,
    "place_add": PLACE_ADD,
    "approval_answer": APPROVAL_ANSWER,
    "switch_throw": SWITCH_THROW,
    "switch_lift": SWITCH_LIFT,
    "enforcement": ENFORCEMENT,
}


def warm(*, strict: bool = True) -> None:
    """Build every validator, so that no request pays for it."""
    for request in ALL.values():
        request.tightened(lax=not strict)
