"""A small enterprise: a shop whose agents read issues, send mail and refund customers."""

from typing import Any

from gateway.policy.arguments import read_shape
from gateway.policy.enterprise import Enterprise
from gateway.policy.facts import (
    AgentFacts,
    CallFacts,
    Effect,
    Facts,
    ServerFacts,
    SessionFacts,
    ToolFacts,
    UserFacts,
)
from gateway.policy.schema import ToolShape, Vocabulary

NOW = 1_790_000_000_123_456


def tool(action: str, *effects: Effect, required: str = "", **types: Any) -> ToolShape:
    """A tool; its arguments are given as ``name="string"`` or as whole schemas."""
    properties = {
        name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()
    }
    schema = {"type": "object", "properties": properties, "required": required.split()}
    server, name = action.split(".", 1)
    return ToolShape(
        server=server, name=name, arguments=read_shape(schema), effects=frozenset(effects)
    )


TOOLS = (
    tool("github.get_issue", "read", required="number", number="integer"),
    tool("github.delete_repo", "destructive", required="repo", repo="string"),
    tool(
        "pay.refund",
        *("money", "egress"),
        required="charge cents",
        charge="string",
        cents="integer",
        note="string",
    ),
    tool("mail.send", "egress", required="to", to={"type": "array", "items": {"type": "string"}}),
)

POLICIES = """
@id("agents-read") permit (principal is Agent, action in Action::"read", resource);
@id("agents-refund")
permit (principal in AgentClass::"refunds", action == Action::"pay.refund", resource);
@id("agents-mail") permit (principal is Agent, action in Action::"mail.*", resource);
@id("agents-delete") permit (principal is Agent, action in Action::"destructive", resource);

@id("people-read") permit (principal is User, action in Action::"read", resource);
@id("people-mail") permit (principal is User, action in Action::"mail.*", resource);
@id("people-delete") permit (principal is User, action in Action::"destructive", resource);
@id("support-refunds")
permit (principal in Group::"support", action == Action::"pay.refund", resource)
when {
  principal is User && principal has refund_limit_cents &&
  context.args.cents <= principal.refund_limit_cents
};

@id("large-refunds") @ask("leads")
forbid (principal, action == Action::"pay.refund", resource)
when { context.args.cents > 10000 }
unless {
  context.approval.granted && context.approval has by &&
  context.approval.by != context.user && context.approval.by in Group::"leads"
};
@id("rule-of-two") @ask("security")
forbid (principal, action in Action::"egress", resource)
when { context.session.read_private && context.session.read_untrusted }
unless { context.approval.granted };
@id("no-strangers")
forbid (principal, action == Action::"mail.send", resource)
when { context.args.to.contains("press@example.com") };
"""

VOCABULARY_FILES = {
    "vocabulary.toml": """
[attributes]
refund_limit_cents = "Long"

[users."user_1"]
refund_limit_cents = 50_000

[groups]
support = ["user_1", "ann@example.com"]
leads = ["user_2"]

[agent_classes]
refunds = ["agent_1", "Refunds"]

[server_classes]
outside = ["mail"]

[servers.github]
url = "https://github.example/mcp"
tools_file = "github.json"

[servers.pay]
url = "https://pay.example/mcp"
reads_untrusted = false

[servers.pay.tools.refund]
effects = ["money", "egress"]
spend = "cents"

[[servers.pay.definitions]]
name = "refund"
[servers.pay.definitions.inputSchema]
type = "object"
required = ["charge", "cents"]
[servers.pay.definitions.inputSchema.properties]
charge = { type = "string" }
cents = { type = "integer" }
note = { type = "string" }

[servers.mail]
url = "https://mail.example/mcp"

[[servers.mail.definitions]]
name = "send"
annotations = { destructiveHint = false }
[servers.mail.definitions.inputSchema]
type = "object"
required = ["to"]
[servers.mail.definitions.inputSchema.properties]
to = { type = "array", items = { type = "string" } }
""",
    "github.json": """{"tools": [
  {"name": "get_issue",
   "inputSchema": {"type": "object", "required": ["number"],
                   "properties": {"number": {"type": "integer"}}},
   "annotations": {"readOnlyHint": true, "openWorldHint": false}},
  {"name": "delete_repo",
   "inputSchema": {"type": "object", "required": ["repo"],
                   "properties": {"repo": {"type": "string"}}},
   "annotations": {"openWorldHint": false}}
]}""",
}
"""The same shop, as its operator writes it down."""

AGENT = AgentFacts(id="agent_1", version=1, workspace="w", classes=frozenset({"refunds"}))
USER = UserFacts(
    id="user_1",
    kind="user",
    groups=frozenset({"support"}),
    attributes=(("refund_limit_cents", 50_000),),
)
LEAD = ("user_2", frozenset({"leads"}))
SESSION = SessionFacts(id="sesn_1")


def vocabulary() -> Vocabulary:
    return Vocabulary(tools=TOOLS, attributes={"refund_limit_cents": "Long"})


def enterprise(policies: str = POLICIES) -> Enterprise:
    return Enterprise(policies, vocabulary())


def call(action: str, **arguments: Any) -> CallFacts:
    server, name = action.split(".", 1)
    return CallFacts(ToolFacts(server=server, name=name, digest="d"), arguments)


def facts(server: str, **changes: Any) -> Facts:
    known: dict[str, Any] = {
        "agent": AGENT,
        "user": USER,
        "server": ServerFacts(id=server, kind=server),
        "session": SESSION,
        "now": NOW,
    }
    return Facts(**(known | changes))
