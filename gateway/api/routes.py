"""Every URL of the gateway, on one screen.

A line says: the path, who answers, what comes back, and what is read from the body or the query.
Everything needs an API key unless it is public; under `strict_betas` everything that has a beta is
hidden from requests without its header. What is not here is answered 404, what is here for another
method 405, both in the API's envelope; nothing is ever redirected.
"""

from functools import cache, partial

from anyio import to_thread

from gateway.api import (
    accounts,
    agents,
    approvals,
    audit,
    builds,
    environments,
    events,
    files,
    health,
    keys,
    links,
    members,
    models,
    openapi,
    places,
    policy,
    resources,
    sessions,
    stream,
    threads,
    users,
    workspaces,
)
from gateway.api.context import ApiCall, Gateway, Reply
from gateway.api.dispatch import Dispatch
from gateway.api.middleware import AsgiApp, supervised
from gateway.api.router import Endpoint, Many, Raw, Router
from gateway.wire import forms as form
from gateway.wire import queries as query
from gateway.wire import requests as body
from gateway.wire import responses as shape

get = partial(Endpoint, "GET")
post = partial(Endpoint, "POST")
delete = partial(Endpoint, "DELETE")

AGENTS, AGENT = "/v1/agents", "/v1/agents/{agent_id}"
ENVIRONMENTS, ENVIRONMENT = "/v1/environments", "/v1/environments/{environment_id}"
SESSIONS, SESSION = "/v1/sessions", "/v1/sessions/{session_id}"
EVENTS = SESSION + "/events"
RESOURCES, RESOURCE = SESSION + "/resources", SESSION + "/resources/{resource_id}"
FILES, FILE = "/v1/files", "/v1/files/{file_id}"
POLICY, SWITCHES = "/wharfkeep/v1/policy", "/wharfkeep/v1/policy/switches"
APPROVALS, APPROVAL = "/wharfkeep/v1/approvals", "/wharfkeep/v1/approvals/{approval_id}"
AUDIT = "/wharfkeep/v1/audit"
THREADS, THREAD = SESSION + "/threads", SESSION + "/threads/{thread_id}"
ORGANIZATION = "/v1/organizations"
KEYS, KEY = ORGANIZATION + "/api_keys", ORGANIZATION + "/api_keys/{api_key_id}"
USERS, USER = ORGANIZATION + "/users", ORGANIZATION + "/users/{user_id}"
SPACES, SPACE = ORGANIZATION + "/workspaces", ORGANIZATION + "/workspaces/{workspace_id}"
MEMBERS, MEMBER = SPACE + "/members", SPACE + "/members/{user_id}"
ACCOUNTS = ORGANIZATION + "/service_accounts"
ACCOUNT = ACCOUNTS + "/{service_account_id}"
PLACES, PLACE = ACCOUNT + "/workspaces", ACCOUNT + "/workspaces/{workspace_id}"
WORKERS, WORKER = SPACE + "/service_accounts", SPACE + "/service_accounts/{service_account_id}"


async def document(_gateway: Gateway, _call: ApiCall) -> Reply:
    """``GET /wharfkeep/v1/openapi.json``: the table below, for machines."""
    return Reply(await to_thread.run_sync(_described))


ENDPOINTS = (
    # Agents
    post(AGENTS, agents.create, shape.AGENT, body.AGENT_CREATE),
    get(AGENTS, agents.list_, Many(shape.AGENT), query.AGENT_LIST),
    get(AGENT, agents.retrieve, shape.AGENT, query.AGENT_RETRIEVE),
    post(AGENT, agents.update, shape.AGENT, body.AGENT_UPDATE),
    post(AGENT + "/archive", agents.archive, shape.AGENT),
    get(AGENT + "/versions", agents.versions, Many(shape.AGENT), query.AGENT_VERSIONS),
    # Environments
    post(ENVIRONMENTS, environments.create, shape.ENVIRONMENT, body.ENVIRONMENT_CREATE),
    get(ENVIRONMENTS, environments.list_, Many(shape.ENVIRONMENT), query.ENVIRONMENT_LIST),
    get(ENVIRONMENT, environments.retrieve, shape.ENVIRONMENT),
    post(ENVIRONMENT, environments.update, shape.ENVIRONMENT, body.ENVIRONMENT_UPDATE),
    delete(ENVIRONMENT, environments.delete, shape.DELETED_ENVIRONMENT),
    post(ENVIRONMENT + "/archive", environments.archive, shape.ENVIRONMENT),
    get("/wharfkeep" + ENVIRONMENT + "/build", builds.retrieve, reads=query.BUILD, beta=None),
    post("/wharfkeep" + ENVIRONMENT + "/build", builds.start, beta=None),
    # Sessions
    post(SESSIONS, sessions.create, shape.SESSION, body.SESSION_CREATE),
    get(SESSIONS, sessions.list_, Many(shape.SESSION, "two_way"), query.SESSION_LIST),
    get(SESSION, sessions.retrieve, shape.SESSION),
    post(SESSION, sessions.update, shape.SESSION, body.SESSION_UPDATE),
    delete(SESSION, sessions.delete, shape.DELETED_SESSION),
    post(SESSION + "/archive", sessions.archive, shape.SESSION),
    # What happens in a session
    post(EVENTS, events.send, Many(shape.SESSION_EVENT, "whole"), body.EVENTS_SEND),
    get(EVENTS, events.list_, Many(shape.SESSION_EVENT), query.EVENT_LIST),
    get(
        EVENTS + "/stream", stream.session, Many(shape.SESSION_EVENT, "stream"), query.EVENT_STREAM
    ),
    # Its threads
    get(THREADS, threads.list_, Many(shape.SESSION_THREAD), query.THREAD_LIST),
    get(THREAD, threads.retrieve, shape.SESSION_THREAD),
    post(THREAD + "/archive", threads.archive, shape.SESSION_THREAD),
    get(THREAD + "/events", events.list_thread, Many(shape.SESSION_EVENT), query.THREAD_EVENT_LIST),
    get(THREAD + "/stream", stream.thread, Many(shape.SESSION_EVENT, "stream"), query.EVENT_STREAM),
    # What is mounted into it
    get(RESOURCES, resources.list_, Many(shape.SESSION_RESOURCE), query.RESOURCE_LIST),
    post(RESOURCES, resources.add, shape.SESSION_RESOURCE, body.RESOURCE_ADD),
    get(RESOURCE, resources.retrieve, shape.SESSION_RESOURCE),
    post(RESOURCE, resources.update, shape.SESSION_RESOURCE, body.RESOURCE_UPDATE),
    delete(RESOURCE, resources.delete, shape.DELETED_RESOURCE),
    # Files
    post(FILES, files.upload, shape.FILE, form.FILE_UPLOAD, beta=None, paced=True),
    get(FILES, files.list_, Many(shape.FILE), query.FILE_LIST, beta=None, paced=True),
    get(FILE, files.retrieve, shape.FILE, beta=None, paced=True),
    get(FILE + "/content", files.download, Raw(), beta=None, paced=True),
    delete(FILE, files.delete, shape.DELETED_FILE, beta=None, paced=True),
    # Models
    get("/v1/models", models.list_, Many(shape.MODEL, "by_id"), query.MODEL_LIST, beta=None),
    get("/v1/models/{model_id}", models.retrieve, shape.MODEL, beta=None),
    # What was decided, and why
    get(AUDIT, audit.list_, reads=query.AUDIT_LIST, beta=None),
    get(AUDIT + "/verify", audit.verify, reads=query.AUDIT_VERIFY, beta=None),
    # Calls that wait for a person
    get(APPROVALS, approvals.list_, reads=query.APPROVAL_LIST, beta=None),
    get(APPROVAL, approvals.retrieve, beta=None),
    post(APPROVAL, approvals.answer, reads=body.APPROVAL_ANSWER, beta=None),
    get(APPROVAL + "/link", links.show, Raw(), query.APPROVAL_LINK, beta=None, public=True),
    post(APPROVAL + "/link", links.use, Raw(), query.APPROVAL_LINK, beta=None, public=True),
    # What may be called at all
    get(POLICY, policy.status, beta=None),
    post(POLICY + "/reload", policy.reload, beta=None),
    get(SWITCHES, policy.list_switches, beta=None),
    post(SWITCHES, policy.throw_switch, reads=body.SWITCH_THROW, beta=None),
    post(SWITCHES + "/lift", policy.lift_switch, reads=body.SWITCH_LIFT, beta=None),
    post(POLICY + "/enforcement", policy.set_enforcement, reads=body.ENFORCEMENT, beta=None),
    # The organization, its keys and its users
    get(ORGANIZATION + "/me", health.organization, shape.ORGANIZATION, beta=None, needs=""),
    post("/wharfkeep/v1/api_keys", keys.create, reads=body.API_KEY_CREATE, beta=None),
    get(KEYS, keys.list_, Many(shape.API_KEY, "by_id"), query.API_KEY_LIST, beta=None),
    get(KEY, keys.retrieve, shape.API_KEY, beta=None),
    post(KEY, keys.update, shape.API_KEY, body.API_KEY_UPDATE, beta=None),
    post("/wharfkeep/v1/users", users.create, shape.USER, body.USER_CREATE, beta=None),
    get(USERS, users.list_, Many(shape.USER, "by_id"), query.USER_LIST, beta=None),
    get(USER, users.retrieve, shape.USER, beta=None),
    post(USER, users.update, shape.USER, body.USER_UPDATE, beta=None),
    delete(USER, users.remove, shape.DELETED_USER, beta=None),
    # Workspaces and their members
    post(SPACES, workspaces.create, shape.WORKSPACE, body.WORKSPACE_CREATE, beta=None),
    get(SPACES, workspaces.list_, Many(shape.WORKSPACE, "by_id"), query.SPACE_LIST, beta=None),
    get(SPACE, workspaces.retrieve, shape.WORKSPACE, beta=None),
    post(SPACE, workspaces.update, shape.WORKSPACE, body.WORKSPACE_UPDATE, beta=None),
    post(SPACE + "/archive", workspaces.archive, shape.WORKSPACE, beta=None),
    post(MEMBERS, members.add, shape.MEMBER, body.MEMBER_ADD, beta=None),
    get(MEMBERS, members.list_, Many(shape.MEMBER, "by_id"), query.MEMBER_LIST, beta=None),
    get(MEMBER, members.retrieve, shape.MEMBER, beta=None),
    post(MEMBER, members.update, shape.MEMBER, body.MEMBER_UPDATE, beta=None),
    delete(MEMBER, members.remove, shape.DELETED_MEMBER, beta=None),
    # Service accounts, and where they work
    post(ACCOUNTS, accounts.create, shape.ACCOUNT, body.ACCOUNT_CREATE, beta=None),
    get(ACCOUNTS, accounts.list_, Many(shape.ACCOUNT), query.ACCOUNT_LIST, beta=None),
    get(ACCOUNT, accounts.retrieve, shape.ACCOUNT, beta=None),
    post(ACCOUNT, accounts.update, shape.ACCOUNT, body.ACCOUNT_UPDATE, beta=None),
    post(ACCOUNT + "/archive", accounts.archive, shape.ACCOUNT, beta=None),
    post(PLACES, places.add_place, shape.PLACE, body.PLACE_ADD, beta=None),
    get(PLACES, places.list_, Many(shape.PLACE), query.PLACE_LIST, beta=None),
    delete(PLACE, places.remove_place, shape.DELETED_PLACE, beta=None),
    post(WORKERS, places.add_worker, shape.PLACE, body.WORKER_ADD, beta=None),
    get(WORKERS, places.list_workers, Many(shape.PLACE), query.PLACE_LIST, beta=None),
    get(WORKER, places.retrieve, shape.PLACE, beta=None),
    post(WORKER, places.update, shape.PLACE, body.WORKER_UPDATE, beta=None),
    delete(WORKER, places.remove_worker, shape.DELETED_PLACE, beta=None),
    # The gateway itself
    get("/healthz", health.check, beta=None, public=True),
    get("/wharfkeep/v1/openapi.json", document, beta=None, public=True),
)


@cache
def _described() -> bytes:
    return openapi.describe(ENDPOINTS)


def application(gateway: Gateway) -> AsgiApp:
    """The whole API as one ASGI application."""
    return supervised(Dispatch(gateway, Router(ENDPOINTS)), gateway.clock)
