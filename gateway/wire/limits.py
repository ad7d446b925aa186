"""Bounds that only prose states, as data, and how they get into a validator.

Keys are ``<SDK type>.<field>``, the type without its ``BetaManagedAgents`` and ``Params``. The
comment on a line is its source; *ours* marks a bound that no source gives, kept generous. Bounds
that need a second field are in `rules.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.wire import formats

Schema: TypeAlias = dict[str, Any]
"""A pydantic core schema."""

LIST = "(list)"
"""The tag of the list in a union of a string and a list."""

MAX_INT = 2**31 - 1
"""The largest integer of a PostgreSQL column."""


@dataclass(frozen=True, slots=True)
class Text:
    """Length in characters. `pattern` is searched, so it carries its own ``^`` and ``$``."""

    least: int = 1
    most: int | None = None
    pattern: str | None = None
    check: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    least: int
    most: int = MAX_INT


@dataclass(frozen=True, slots=True)
class Items:
    least: int = 0
    most: int | None = None
    each: Text | None = None
    check: Callable[[list[Any]], list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """A string map. In a patch `most` is None: the cap is on the result (spec/resources C-4)."""

    most: int | None
    key: Text
    value: Text


@dataclass(frozen=True, slots=True)
class Checked:
    """An object with a rule of its own."""

    check: Callable[[dict[str, Any]], dict[str, Any]]


Limit: TypeAlias = Text | Whole | Items | Pairs | Checked

PATTERNS = {
    (TOOL_NAME := r"^[A-Za-z0-9_-]*$"): "must be letters, digits, '_' and '-' only",
    (CENTS := r"^[1-9][0-9]*$"): "must be whole cents above zero, without leading zeros",
    (GEO := r"^(us|global)$"): "must be 'us', 'global' or null",
    (COUNTRY := r"^[A-Z]{2}$"): "must be a two-letter ISO 3166-1 code in upper case",
    (ZONE := r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"): "must be an IANA time zone",
    (IMAGE := r"^image/(png|jpeg|gif|webp)$"): (
        "must be image/png, image/jpeg, image/gif or image/webp"
    ),
    (PDF := r"^application/pdf$"): "must be application/pdf",
    (COMMIT := r"^[0-9a-fA-F]{7,64}$"): "must be a commit hash",
    (TOKEN := r"^[\x21-\x7e]*$"): "must be printable ASCII without spaces",
    (ORGANIZATION := r"^organization$"): "only 'organization' is supported here",
    # These are shown in terminals.
    (LABEL := r"^[^\x00-\x1f\x7f-\x9f]*$"): "must not hold control characters",
    (SLUG := r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"): "must be lower-case letters, digits and '-'",
    (COLOR := r"^#[0-9A-Fa-f]{6}$"): "must be a hex color such as #6C5BB9",
    # A leading dash would be read as an option by the program that gets the text.
    (ARGUMENT := r"^[^\x00-\x20\x7f-][^\x00-\x1f\x7f]*$"): (
        "must not begin with '-' or a space, nor hold control characters"
    ),
}
"""What to tell a client instead of a regular expression."""

_ID = Text(1, 255)  # ours: an id of ours is far shorter, so a longer one cannot exist
_NAME = Text(1, 256)  # K:core
_LABEL = Text(1, 256, LABEL)  # ours
_TAG = Text(1, 128, check=formats.tag)  # the length is ours
_MODEL = Text(1, 256)  # ours
_VERSION = Whole(1)  # T:agent_update_params
_SERVERS = Items(0, 20)  # T:agent_create_params
_TOOLS = Items(0, 256)  # T:agent_create_params; the sum over all toolsets is in rules.py
_SKILLS = Items(0, 500)  # D:skills
_SYSTEM = Text(0, 100_000)  # T:BMA_agent_with_overrides_params
_METADATA = Pairs(16, Text(1, 64), Text(0, 512))  # spec/resources C-3
_PATCH = Pairs(None, Text(1, 64), Text(0, 512))  # spec/resources C-4
_PREDEFINED = Items(0, 20, _ID)  # T:BMA_multiagent_subagents_enabled_params
_CONFIGS = Items(0, 256)  # ours: no toolset can hold more tools than an agent
_BLOCKS = Items(0, 1000)  # ours
_HOSTS = Items(1, 64, Text(1, 255, check=formats.web_domain), formats.distinct_domains)
_SITES = Items(1, 64, Text(1, 255, check=formats.search_domain), formats.distinct_domains)
_PACKAGES = Items(0, 500, Text(1, 256, ARGUMENT))  # ours
_URL = Text(1, 8192, check=formats.http_url)  # ours
_DATA = Text(1, check=formats.base64_data)

LIMITS: dict[str, Limit] = {
    "AgentCreate.name": _NAME,
    "AgentCreate.description": Text(0, 2048),  # K:core
    "AgentCreate.system": _SYSTEM,
    "AgentCreate.model": _MODEL,
    "AgentCreate.tools": _TOOLS,
    "AgentCreate.mcp_servers": _SERVERS,
    "AgentCreate.skills": _SKILLS,
    "AgentCreate.metadata": _METADATA,
    "AgentUpdate.name": _NAME,
    "AgentUpdate.description": Text(0, 2048),
    "AgentUpdate.system": _SYSTEM,
    "AgentUpdate.model": _MODEL,
    "AgentUpdate.tools": _TOOLS,
    "AgentUpdate.mcp_servers": _SERVERS,
    "AgentUpdate.skills": _SKILLS,
    "AgentUpdate.metadata": _PATCH,
    "AgentUpdate.version": _VERSION,
    "ModelConfig.id": _MODEL,
    "ModelConfig.inference_geo": Text(0, None, GEO),  # D:agent-setup
    "URLMCPServer.name": Text(1, 255),  # T:BMA_url_mcp_server_params
    "URLMCPServer.url": Text(1, 2048, check=formats.http_url),  # ours
    "AnthropicSkill.skill_id": _ID,
    "AnthropicSkill.version": _ID,
    "CustomSkill.skill_id": _ID,
    "CustomSkill.version": _ID,
    "AWSRoleExecutionIdentity.role_arn": Text(1, 2048),  # spec/core 2.10
    "MultiagentCoordinator.agents": Items(1, 20, _ID),  # T:BMA_multiagent_coordinator_params
    "Advisor.model": _MODEL,
    "MultiagentAdvisorEnabled.model": _MODEL,
    "MultiagentSubagentsEnabled.predefined_agents": _PREDEFINED,
    "MultiagentWorkflowsEnabled.predefined_agents": _PREDEFINED,
    "AgentToolset20260401.configs": _CONFIGS,
    "WebFetchToolConfig.allowed_domains": _HOSTS,  # spec/core 2.7.1
    "WebFetchToolConfig.blocked_domains": _HOSTS,
    "WebFetchToolConfig.max_content_tokens": Whole(1),
    "WebFetchURLSourceOnly.tools": Items(1, 128),  # T:BMA_web_fetch_url_source_only_param
    "WebFetchURLSourceExcept.tools": Items(1, 128),
    "WebFetchURLSourceToolReference.name": Text(1, 128),
    "WebSearchToolConfig.allowed_domains": _SITES,
    "WebSearchToolConfig.blocked_domains": _SITES,
    "UserLocation.city": Text(1, 255),  # ours
    "UserLocation.region": Text(1, 255),  # ours
    "UserLocation.country": Text(1, None, COUNTRY),
    "UserLocation.timezone": Text(1, 255, ZONE),
    "MCPToolset.mcp_server_name": Text(1, 255),  # T:BMA_mcp_toolset_params
    "MCPToolset.configs": _CONFIGS,
    "MCPToolConfig.name": Text(1, 128),  # T:BMA_mcp_tool_config_params
    "CustomTool.name": Text(1, 128, TOOL_NAME, formats.custom_tool_name),  # spec/core 2.7.3
    "CustomTool.description": Text(1, 16_384),  # non-empty: spec/core 2.7.3; the cap is ours
    "CustomTool.input_schema": Checked(formats.input_schema),
    "CustomToolInputSchema.required": Items(0, 1000),  # ours
    "EnvironmentCreate.name": _NAME,
    "EnvironmentCreate.description": Text(0, 2048),  # ours
    "EnvironmentCreate.metadata": _METADATA,  # spec/core 3.3
    "EnvironmentCreate.scope": Text(0, None, ORGANIZATION),
    "EnvironmentUpdate.name": _NAME,
    "EnvironmentUpdate.description": Text(0, 2048),
    "EnvironmentUpdate.metadata": _PATCH,
    "EnvironmentUpdate.scope": Text(0, None, ORGANIZATION),
    "LimitedNetwork.allowed_hosts": Items(0, 500, Text(1, 255, check=formats.allowed_host)),
    **{f"Packages.{m}": _PACKAGES for m in ("apt", "cargo", "gem", "go", "npm", "pip")},
    "SessionCreate.agent": _ID,
    "SessionCreate.environment_id": _ID,
    "SessionCreate.title": Text(0, 1024),  # ours
    "SessionCreate.metadata": _METADATA,
    "SessionCreate.vault_ids": Items(0, 100, _ID),  # ours
    "SessionCreate.initial_events": Items(0, 50),  # T:session_create_params
    "SessionCreate.resources": Items(0, 509),  # each kind has its own cap in rules.py
    "SessionUpdate.title": Text(0, 1024),
    "SessionUpdate.metadata": _PATCH,
    "SessionUpdate.vault_ids": Items(0, 100, _ID),
    "Agent.id": _ID,
    "Agent.version": _VERSION,
    "AgentWithOverrides.id": _ID,
    "AgentWithOverrides.version": _VERSION,
    "AgentWithOverrides.model": _MODEL,
    "AgentWithOverrides.system": _SYSTEM,
    "AgentWithOverrides.tools": _TOOLS,
    "AgentWithOverrides.mcp_servers": _SERVERS,
    "AgentWithOverrides.skills": _SKILLS,
    "SessionAgentUpdate.tools": _TOOLS,
    "SessionAgentUpdate.mcp_servers": _SERVERS,
    "MonetaryAmount.amount": Text(1, 15, CENTS),  # spec/core 8.6; the length is ours
    "FileResource.file_id": _ID,
    "FileResource.mount_path": Text(1, 1024, check=formats.upload_path),
    "GitHubRepositoryResource.url": Text(1, 2048, check=formats.repository_url),
    "GitHubRepositoryResource.authorization_token": Text(1, 4096, TOKEN),  # ours
    "GitHubRepositoryResource.mount_path": Text(1, 1024, check=formats.workspace_path),
    "BranchCheckout.name": Text(1, 255, ARGUMENT),  # ours
    "CommitCheckout.sha": Text(1, 64, COMMIT),
    "MemoryStoreResource.memory_store_id": _ID,
    "MemoryStoreResource.instructions": Text(0, 4096),  # T:BMA_memory_store_resource_param
    "ResourceAdd.file_id": _ID,
    "ResourceAdd.mount_path": Text(1, 1024, check=formats.upload_path),
    "ResourceUpdate.authorization_token": Text(1, 4096, TOKEN),
    "EventSend.events": Items(1, 100),  # spec/core 6.2
    "UserMessageEvent.content": Items(1, 1000),  # ours
    "UserInterruptEvent.session_thread_id": _ID,
    "UserToolConfirmationEvent.tool_use_id": _ID,
    "UserToolConfirmationEvent.deny_message": Text(0, 16_384),  # ours
    "ApprovalAnswer.message": Text(0, 16_384),  # ours: as above
    "UserCustomToolResultEvent.custom_tool_use_id": _ID,
    "UserCustomToolResultEvent.content": _BLOCKS,
    "UserToolResultEvent.tool_use_id": _ID,
    "UserToolResultEvent.content": _BLOCKS,
    "UserDefineOutcomeEvent.description": Text(1, 65_536),  # ours
    "UserDefineOutcomeEvent.max_iterations": Whole(1, 20),  # spec/resources G-1
    "SystemMessageEvent.content": Items(1, 1000),  # spec/core 6.1
    "TextRubric.content": Text(1, 262_144),  # T:sessions/BMA_text_rubric_params
    "FileRubric.file_id": _ID,
    "SearchResultBlock.content": _BLOCKS,
    "SearchResultBlock.source": Text(1, 8192),  # ours
    "Base64ImageSource.data": _DATA,
    "Base64ImageSource.media_type": Text(1, None, IMAGE),
    "URLImageSource.url": _URL,
    "FileImageSource.file_id": _ID,
    "Base64DocumentSource.data": _DATA,
    "Base64DocumentSource.media_type": Text(1, None, PDF),
    "PlainTextDocumentSource.data": Text(1),  # ours: models refuse empty documents
    "URLDocumentSource.url": _URL,
    "FileDocumentSource.file_id": _ID,
    "APIKeyCreate.name": _LABEL,
    "APIKeyCreate.workspace_id": _ID,
    "APIKeyCreate.principal_id": _ID,
    "APIKeyCreate.scopes": Items(1, 64, Text(1, 64)),  # ours
    "APIKeyCreate.expires_in_seconds": Whole(1),
    "APIKeyUpdate.name": _LABEL,
    "WorkspaceCreate.name": _LABEL,
    "WorkspaceCreate.display_color": Text(1, None, COLOR),
    "WorkspaceCreate.external_key_id": Text(0, None, check=formats.external_key),
    "WorkspaceCreate.tags": Pairs(64, _TAG, Text(0, 256)),  # ours
    "WorkspaceUpdate.name": _LABEL,
    "WorkspaceUpdate.display_color": Text(1, None, COLOR),
    "WorkspaceUpdate.external_key_id": Text(0, None, check=formats.external_key),
    "DataResidencyCreateConfig.allowed_inference_geos": Items(0, 16),  # ours
    "DataResidencyUpdateConfig.allowed_inference_geos": Items(0, 16),
    "WorkspaceUpdate.tags": Pairs(None, _TAG, Text(0, 256)),
    "MemberAdd.user_id": _ID,
    "UserCreate.email": Text(3, 254, check=formats.email),
    "UserCreate.name": _LABEL,
    "ServiceAccountCreate.name": Text(1, 64, SLUG),  # T:service_account_create_params
    "ServiceAccountCreate.description": Text(0, 2048),  # ours
    "ServiceAccountUpdate.description": Text(0, 2048),
    "ServiceAccountAdd.service_account_id": _ID,
    "WorkspaceAdd.workspace_id": _ID,
}

NULLABLE = frozenset(
    {
        # Null clears an override; a null model has an error of its own (spec/core 5.4).
        "AgentWithOverrides.model",
        "AgentWithOverrides.tools",
        "AgentWithOverrides.mcp_servers",
        "AgentWithOverrides.skills",
        # Null means unrestricted, and what a response shows can be sent back (spec/core 2.7.1).
        "WebFetchToolConfig.allowed_domains",
        "WebFetchToolConfig.blocked_domains",
        "WebSearchToolConfig.allowed_domains",
        "WebSearchToolConfig.blocked_domains",
    }
)
"""Fields that take null although the SDK's type does not say so."""

IGNORED = {
    # Older clients still name the thread; it is found by the id of the call (spec/core 6.3).
    "UserToolConfirmationEvent": ("session_thread_id",),
    "UserCustomToolResultEvent": ("session_thread_id",),
    "UserToolResultEvent": ("session_thread_id",),
}
"""Fields that a type takes and forgets."""


def short_name(params: type) -> str:
    """The name under which `LIMITS` knows an SDK type."""
    name = params.__name__.removeprefix("Beta").removeprefix("ManagedAgents")
    return name.removesuffix("Params").removesuffix("Param")


def bounded(path: str, schema: Schema) -> Schema:
    """Build the limits of the field `path` into its schema."""
    if path in NULLABLE:
        schema = {"type": "nullable", "schema": schema}
    limit = LIMITS.get(path)
    return _apply(limit, schema) if limit else schema


def forgetful(name: str, schema: Schema) -> Schema:
    """Let the object type `name` take the fields it ignores."""
    ignored = IGNORED.get(name)
    if ignored is None:
        return schema

    def forget(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if k not in ignored}
        return value

    ref = {"ref": schema["ref"]} if "ref" in schema else {}
    bare = {k: v for k, v in schema.items() if k != "ref"}
    function = {"type": "no-info", "function": forget}
    return {"type": "function-before", "function": function, "schema": bare, **ref}


def _apply(limit: Limit, schema: Schema) -> Schema:
    if schema["type"] == "nullable":
        return {**schema, "schema": _apply(limit, schema["schema"])}
    match limit:
        case Text():
            return _text(limit, schema)
        case Whole():
            return {**schema, "ge": limit.least, "le": limit.most}
        case Items():
            return _items(limit, schema)
        case Pairs():
            keys = _text(limit.key, schema["keys_schema"])
            values = _apply(limit.value, schema["values_schema"])
            return _sized({**schema, "keys_schema": keys, "values_schema": values}, limit.most)
        case Checked():
            return _checked(schema, limit.check)


def _text(limit: Text, schema: Schema) -> Schema:
    if schema["type"] == "tagged-union":
        choices = {**schema["choices"], "text": _text(limit, schema["choices"]["text"])}
        return {**schema, "choices": choices}
    bounds: Schema = {"type": "str", "strict": True}
    if limit.least:
        bounds["min_length"] = limit.least
    if limit.pattern:
        bounds["pattern"] = limit.pattern
    return _checked(_sized(bounds, limit.most), limit.check)


def _items(limit: Items, schema: Schema) -> Schema:
    if schema["type"] == "tagged-union":
        choices = {**schema["choices"], LIST: _items(limit, schema["choices"][LIST])}
        return {**schema, "choices": choices}
    bounds = _sized(schema, limit.most)
    if limit.least:
        bounds["min_length"] = limit.least
    if limit.each:
        bounds["items_schema"] = _text(limit.each, schema["items_schema"])
    return _checked(bounds, limit.check)


def _sized(schema: Schema, most: int | None) -> Schema:
    return dict(schema) if most is None else {**schema, "max_length": most}


def _checked(schema: Schema, check: Callable[[Any], Any] | None) -> Schema:
    if check is None:
        return schema
    function = {"type": "no-info", "function": check}
    return {"type": "function-after", "function": function, "schema": schema}
