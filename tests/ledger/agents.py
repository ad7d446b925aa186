"""Agents and their versions."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "agents:create:minimal",
        "core 2.2",
        "Name and model make an agent: version 1, empty lists, null texts, default identity.",
    ),
    Requirement("agents:create:required", "core 2.3", "Name and model are required."),
    Requirement(
        "agents:create:lengths",
        "core 2.3",
        "Name 1-256, description up to 2048, system up to 100,000 characters.",
    ),
    Requirement(
        "agents:create:metadata",
        "core 2.3",
        "Metadata: 16 pairs, keys up to 64, values up to 512 characters, strings only.",
    ),
    Requirement("agents:create:tools-cap", "core 2.3", "At most 256 tools across all toolsets."),
    Requirement(
        "agents:create:servers-cap", "core 2.3", "At most 20 MCP servers, with unique names."
    ),
    Requirement(
        "agents:model:forms",
        "core 2.4",
        "model is a string or an object; the response is always the object.",
    ),
    Requirement(
        "agents:model:effort",
        "core 2.4",
        "effort is a string or {type}; the response is always the object, resolved when unset.",
    ),
    Requirement("agents:model:geo", "core 2.4", "inference_geo is us, global or null."),
    Requirement(
        "agents:mcp:unreferenced", "core 2.3", "A server that no mcp_toolset names is answered 400."
    ),
    Requirement(
        "agents:mcp:dangling", "core 2.3", "An mcp_toolset that names no server is answered 400."
    ),
    Requirement("agents:mcp:resulting", "core 2.5", "An update is checked on the resulting agent."),
    Requirement(
        "agents:toolset:resolved",
        "core 2.7.1",
        "A toolset reads back with enabled and permission_policy resolved: always_allow by default.",
    ),
    Requirement(
        "agents:toolset:type-inferred",
        "core 2.7.1",
        "A config needs only its name; type is inferred and read back.",
    ),
    Requirement(
        "agents:toolset:once",
        "core 2.7.1",
        "A second agent toolset and a tool configured twice are answered 400.",
    ),
    Requirement(
        "agents:toolset:round-trip",
        "core 5.6",
        "The tools of a response can be sent back as they are.",
    ),
    Requirement(
        "agents:mcp-toolset:resolved",
        "core 2.7.2",
        "An MCP toolset's policy is always_ask by default.",
    ),
    Requirement(
        "agents:web:exclusive",
        "core 2.7.1",
        "allowed_domains and blocked_domains cannot be combined.",
    ),
    Requirement(
        "agents:web:domains",
        "core 2.7.1",
        "1-64 public DNS names; anything else is answered 400, naming list and index.",
    ),
    Requirement(
        "agents:web:url-sources",
        "core 2.7.1",
        "url_sources: not all none; names must be custom tools, or web_search and web_fetch.",
    ),
    Requirement(
        "agents:web:location",
        "core 2.7.1",
        "user_location takes a two-letter country and an IANA time zone.",
    ),
    Requirement(
        "agents:custom:name",
        "core 2.7.3",
        "Custom names: 1-128 letters, digits, _ and -; unique, not built-in, not mcp__ or ant__.",
    ),
    Requirement(
        "agents:custom:schema",
        "core 2.7.3",
        "input_schema: no $ref, no top-level oneOf, anyOf, allOf; property names checked.",
    ),
    Requirement(
        "agents:custom:open-schema",
        "core 2.7.3",
        "Other keywords, additionalProperties included, are kept and echoed.",
    ),
    Requirement(
        "agents:skills:need-read",
        "core 2.3",
        "Skills without an enabled read tool are answered 400.",
    ),
    Requirement("agents:skills:version", "core 2.11", "A skill's version is latest when omitted."),
    Requirement(
        "agents:multiagent:coordinator",
        "core 2.9",
        "A coordinator has 1-20 distinct entries, at most one self and one advisor.",
    ),
    Requirement(
        "agents:multiagent:references",
        "core 2.9",
        "Listed agents must exist, be live, and have no multiagent themselves.",
    ),
    Requirement(
        "agents:multiagent:pinned",
        "core 2.9",
        "Unversioned entries are pinned when the agent is saved; self reads back as the agent.",
    ),
    Requirement(
        "agents:multiagent:defaults",
        "core 2.9",
        "multiagent_20261001: subagents and workflows enabled, advisor disabled; null means the default.",
    ),
    Requirement(
        "agents:multiagent:inline-disabled",
        "core 2.9",
        "Inline agents disabled and nobody listed is answered 400.",
    ),
    Requirement(
        "agents:multiagent:merge",
        "core 2.9",
        "An update of the same type merges key by key; another type replaces.",
    ),
    Requirement(
        "agents:identity:default",
        "core 2.10",
        "execution_identity is never null; null and omission mean service_account.",
    ),
    Requirement(
        "agents:update:partial",
        "core 2.5",
        "Omitted fields keep their value; arrays are replaced; null clears where allowed.",
    ),
    Requirement(
        "agents:update:metadata-patch",
        "core 2.5",
        "Metadata is merged; null deletes a key; the cap counts the result.",
    ),
    Requirement("agents:update:not-clearable", "core 2.5", "Name and model cannot be cleared."),
    Requirement(
        "agents:update:effort-kept",
        "core 2.4",
        "The same model id without effort keeps the stored effort.",
    ),
    Requirement(
        "agents:update:no-op", "core 2.5", "An update that changes nothing makes no version."
    ),
    Requirement("agents:update:version-bump", "core 2.5", "A change increments version by one."),
    Requirement(
        "agents:update:stale-version",
        "core 2.5",
        "Another version than the current one is answered 409, also for a no-op.",
    ),
    Requirement("agents:update:archived", "core 2.5", "An archived agent cannot be updated: 400."),
    Requirement(
        "agents:retrieve:version",
        "core 2.6",
        "?version=N shows that version; an unknown one is answered 404.",
    ),
    Requirement(
        "agents:versions:list", "core 2.6", "Versions are listed as full agents, newest first."
    ),
    Requirement(
        "agents:list:filters",
        "core 2.6",
        "created_at[gte], created_at[lte] and include_archived filter the list.",
    ),
    Requirement(
        "agents:archive:irreversible",
        "core 2.6",
        "Archive sets archived_at once; repeating it changes nothing.",
    ),
    Requirement(
        "agents:archive:no-new-sessions",
        "core 2.6",
        "A session cannot be created from an archived agent.",
    ),
)
