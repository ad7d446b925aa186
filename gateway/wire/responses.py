"""One named `Response` for each kind of object, and the pages that carry them.

``AGENT.render(body)`` gives the bytes of an agent in the SDK's own shape (`shapes.py` says how).
The SDK's models are imported on first use; `warm` reads them all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from pydantic_core import to_json

from gateway.wire.shapes import Json, Shape, shape_of


@dataclass(frozen=True)
class Response:
    """The shape of one kind of object, named by the SDK's type below ``anthropic.types.beta``."""

    module: str
    type: str

    @cached_property
    def annotation(self) -> Any:
        import_module("anthropic")  # whole: threads that enter it by different doors deadlock
        return getattr(import_module(f"anthropic.types.beta.{self.module}"), self.type)

    @cached_property
    def shape(self) -> Shape:
        return shape_of(self.annotation)

    def present(self, body: Json) -> dict[str, Any]:
        """The object as clients see it.

        Raises:
            KeyError: A field that is never null is missing.
        """
        return self.shape.fill(body)

    def render(self, body: Json) -> bytes:
        return to_json(self.shape.fill(body))

    def strangers(self, body: Json) -> list[str]:
        """Paths of keys in `body` that the SDK's model does not have."""
        return list(self.shape.strangers(body, ""))


AGENT = Response("beta_managed_agents_agent", "BetaManagedAgentsAgent")
ENVIRONMENT = Response("beta_environment", "BetaEnvironment")
DELETED_ENVIRONMENT = Response("beta_environment_delete_response", "BetaEnvironmentDeleteResponse")
SESSION = Response("beta_managed_agents_session", "BetaManagedAgentsSession")
DELETED_SESSION = Response("beta_managed_agents_deleted_session", "BetaManagedAgentsDeletedSession")
SESSION_THREAD = Response(
    "sessions.beta_managed_agents_session_thread", "BetaManagedAgentsSessionThread"
)
SESSION_EVENT = Response(
    "sessions.beta_managed_agents_session_event", "BetaManagedAgentsSessionEvent"
)
SESSION_RESOURCE = Response(
    "sessions.beta_managed_agents_session_resource", "BetaManagedAgentsSessionResource"
)
DELETED_RESOURCE = Response(
    "sessions.beta_managed_agents_delete_session_resource",
    "BetaManagedAgentsDeleteSessionResource",
)
FILE = Response("beta_file_metadata", "BetaFileMetadata")
DELETED_FILE = Response("beta_deleted_file", "BetaDeletedFile")
MODEL = Response("beta_model_info", "BetaModelInfo")
ORGANIZATION = Response("beta_organization", "BetaOrganization")
API_KEY = Response("organization.beta_api_key", "BetaAPIKey")
WORKSPACE = Response("organization.beta_workspace", "BetaWorkspace")
MEMBER = Response("organization.beta_workspace_member", "BetaWorkspaceMember")
DELETED_MEMBER = Response("organization.workspaces.member_remove_response", "MemberRemoveResponse")
USER = Response("organization.beta_organization_user", "BetaOrganizationUser")
DELETED_USER = Response("organization.user_remove_response", "UserRemoveResponse")
ACCOUNT = Response("organization.beta_service_account", "BetaServiceAccount")
PLACE = Response(
    "organization.beta_service_account_workspace_member", "BetaServiceAccountWorkspaceMember"
)
DELETED_PLACE = Response(
    "organization.workspaces.service_account_remove_response", "ServiceAccountRemoveResponse"
)

ALL = {
    "agent": AGENT,
    "environment": ENVIRONMENT,
    "deleted_environment": DELETED_ENVIRONMENT,
    "session": SESSION,
    "deleted_session": DELETED_SESSION,
    "session_thread": SESSION_THREAD,
    "session_event": SESSION_EVENT,
    "session_resource": SESSION_RESOURCE,
    "deleted_resource": DELETED_RESOURCE,
    "file": FILE,
    "deleted_file": DELETED_FILE,
    "model": MODEL,
    "organization": ORGANIZATION,
    "api_key": API_KEY,
    "workspace": WORKSPACE,
    "member": MEMBER,
    "deleted_member": DELETED_MEMBER,
    "user": USER,
    "deleted_user": DELETED_USER,
    "account": ACCOUNT,
    "place": PLACE,
    "deleted_place": DELETED_PLACE,
}


def warm() -> None:
    """Read every model, so that no request pays for it."""
    for response in ALL.values():
        _ = response.shape


def page(items: Iterable[bytes], next_page: str | None) -> bytes:
    """A page of a forward-only list of rendered objects; ``next_page`` is always there."""
    return b'{"data":[%b],"next_page":%b}' % (b",".join(items), to_json(next_page))


def two_way_page(items: Iterable[bytes], next_page: str | None, prev_page: str | None) -> bytes:
    """A page of the list of sessions, the only one that can be read backwards."""
    joined = b",".join(items)
    return b'{"data":[%b],"next_page":%b,"prev_page":%b}' % (
        joined,
        to_json(next_page),
        to_json(prev_page),
    )


def model_page(models: list[dict[str, Any]], *, has_more: bool) -> bytes:
    """A page of the list of models."""
    return id_page([MODEL.present(model) for model in models], has_more=has_more)


def id_page(shown: list[dict[str, Any]], *, has_more: bool, by: str = "id") -> bytes:
    """A page of a list that is read by ids, which are under `by` (spec/resources 8.4)."""
    ids = [entry[by] for entry in shown]
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    return to_json({"data": shown, "has_more": has_more, "first_id": first, "last_id": last})


def sent(items: Iterable[bytes]) -> bytes:
    """The answer to a send: the accepted events, with their ids."""
    return b'{"data":[%b]}' % b",".join(items)
