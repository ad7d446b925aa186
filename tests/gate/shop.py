"""A shop with policies, people and a payment desk, as an operator would set it up."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anthropic import AsyncAnthropic

from gateway.model.script import Script
from gateway.store.members import MemberRow
from gateway.store.people import PrincipalRow
from tests.e2e.conversation import Conversation
from tests.gate.counter import URL, Counter
from tests.gateway import Running, Tenant, serve

POLICIES = """
@id("agents") permit (principal is Agent, action, resource);
@id("support") permit (principal is User in Group::"support", action, resource);
@id("large-refunds-need-a-second-person") @ask("support")
forbid (principal, action == Action::"desk.refund", resource)
when { context.args.cents > 10000 }
unless {
  context.approval.granted && context.approval has by && context.approval.by != context.user
};
@id("day-limit")
forbid (principal, action == Action::"desk.refund", resource)
when { context.session.spent_cents + context.args.cents > 50000 };
@id("no-refunds-after-reading-strangers")
forbid (principal, action in Action::"money", resource)
when { context.session.read_untrusted };
"""

VOCABULARY = f"""
[groups]
support = ["ann@shop.example", "bob@shop.example"]

[servers.desk]
url = "{URL}"
tools_file = "desk.json"

[servers.desk.tools.get_charge]
reads_private = true
reads_untrusted = false

[servers.desk.tools.read_note]
reads_private = true
reads_untrusted = true

[servers.desk.tools.refund]
effects = ["money", "write"]
reads_private = false
reads_untrusted = false
spend = "cents"
"""


class Shop:
    """A running gateway with its policies and its people."""

    def __init__(self, running: Running, policies: Path, counter: Counter) -> None:
        self.running = running
        self.policies = policies
        self.counter = counter
        self.workspace = running.call(running.gateway.store.keys.default_workspace)

    def person(self, name: str) -> Tenant:
        """Somebody who works in the shop, with a key of their own."""
        row = PrincipalRow(
            id=self.running.gateway.clock.new_id("user"),
            kind="user",
            name=name,
            email=f"{name.lower()}@shop.example",
            role="user",
            body={},
            created_at=1,
            updated_at=1,
            archived_at=None,
        )
        store = self.running.gateway.store
        self.running.call(partial(store.people.create, row=row))
        member = MemberRow(
            workspace=self.workspace,
            principal=row.id,
            role="workspace_developer",
            created_at=1,
            updated_at=1,
        )
        self.running.call(partial(store.members.add, kind="user", row=member))
        return self.running.key(self.workspace, principal=row.id)

    def change(self, old: str, new: str) -> None:
        """Edit the policies, and have the gateway look at once."""
        text = self.policies.read_text(encoding="utf-8")
        assert old in text
        self.policies.write_text(text.replace(old, new), encoding="utf-8")
        self.running.call(self.running.gateway.rulebook.reload)

    def audit(self, session: str) -> list[Mapping[str, Any]]:
        """What the audit trail says of a session, oldest first."""
        with self.running.administrator().raw() as http:
            answer = http.get("/wharfkeep/v1/audit", params={"session": session, "limit": 100})
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["data"]))


@contextmanager
def open_shop(
    folder: Path, script: Script, *, audit: Mapping[str, Any] | None = None
) -> Generator[Shop]:
    """Open the shop in an empty directory; `audit` are settings of its audit trail."""
    counter, policies = Counter(), folder / "policies"
    policies.mkdir()
    (policies / "shop.cedar").write_text(POLICIES, encoding="utf-8")
    (policies / "vocabulary.toml").write_text(VOCABULARY, encoding="utf-8")
    listed = anyio.run(counter.list_tools, "", "desk", URL)
    (policies / "desk.json").write_text(json.dumps({"tools": listed}), encoding="utf-8")
    settings = {"policy": {"directory": policies}, "audit": audit or {}}
    with serve(folder / "data", settings, script, counter) as running:
        yield Shop(running, policies / "shop.cedar", counter)


async def begin(client: AsyncAnthropic, **session: Any) -> Conversation:
    """A session whose own toolset allows everything."""
    policy = {"permission_policy": {"type": "always_allow"}}
    tools = [{"type": "mcp_toolset", "mcp_server_name": "pay", "default_config": policy}]
    servers = [{"type": "url", "name": "pay", "url": URL}]
    return await Conversation.begin(client, tools=tools, agent={"mcp_servers": servers}, **session)
