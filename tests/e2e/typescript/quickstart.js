// The quickstart of the articles in JavaScript, with the official SDK and nothing else.

import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic();

const agent = await client.beta.agents.create({
  name: "Coding Assistant",
  model: "claude-haiku-4-5",
  tools: [{ type: "agent_toolset_20260401" }],
});
const environment = await client.beta.environments.create({
  name: "typescript-env",
  config: { type: "cloud", networking: { type: "unrestricted" } },
});
const session = await client.beta.sessions.create({
  agent: agent.id,
  environment_id: environment.id,
  title: "Quickstart session",
});
console.log(`Session ID: ${session.id}`);

const stream = await client.beta.sessions.events.stream(session.id);
await client.beta.sessions.events.send(session.id, {
  events: [
    {
      type: "user.message",
      content: [{ type: "text", text: "Write a script that finds the first 50 primes." }],
    },
  ],
});
for await (const event of stream) {
  if (event.type === "agent.message") {
    console.log(event.content.map((block) => block.text).join(""));
  } else if (event.type === "agent.tool_use") {
    console.log(`[Using tool: ${event.name}]`);
  } else if (event.type === "session.status_idle") {
    console.log(`Finished: ${event.stop_reason.type}`);
    break;
  }
}
