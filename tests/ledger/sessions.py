"""Sessions and their resources."""

from tests.ledger.requirement import Requirement

_NOTHING_TO_MOUNT = "there are no memory stores yet"

REQUIREMENTS = (
    Requirement(
        "sessions:create:agent-id", "core 5.4", "A string names the latest version of an agent."
    ),
    Requirement("sessions:create:agent-version", "core 5.4", "An object pins a version, from 1."),
    Requirement(
        "sessions:create:overrides",
        "core 5.4",
        "Overrides replace, null and [] clear, omitted fields are inherited.",
    ),
    Requirement(
        "sessions:create:override-model-null",
        "core 5.4",
        "A null model is answered 400 with code agent_model_required.",
    ),
    Requirement(
        "sessions:create:override-clears",
        "core 5.4",
        "A cleared list that another one still needs is answered 400.",
    ),
    Requirement(
        "sessions:create:unknown",
        "core 10.3",
        "An unknown agent, version or environment is answered 404.",
    ),
    Requirement(
        "sessions:create:archived", "core 5.4", "An archived agent or environment is answered 400."
    ),
    Requirement(
        "sessions:create:snapshot",
        "core 5.3",
        "The session shows a snapshot of its agent that later updates do not change.",
    ),
    Requirement("sessions:create:idle", "core 5.4", "Without initial events a session is idle."),
    Requirement(
        "sessions:create:initial-events",
        "core 5.4",
        "With initial events it is running, and they are in its log in order.",
    ),
    Requirement(
        "sessions:create:initial-types",
        "core 5.4",
        "Only user.message and user.define_outcome can be initial, at most 50.",
    ),
    Requirement(
        "sessions:create:initial-outcome",
        "core 5.4",
        "Two outcomes among the initial events are answered 400.",
    ),
    Requirement(
        "sessions:create:initial-atomic",
        "core 5.4",
        "One bad initial event and nothing is created.",
    ),
    Requirement(
        "sessions:create:limits", "core 5.4", "Metadata, title and vault_ids have their limits."
    ),
    Requirement(
        "sessions:budget:amount",
        "core 8.6",
        "A budget is whole cents above zero as a string, in USD.",
    ),
    Requirement(
        "sessions:budget:priced",
        "core 8.6",
        "A model without a price is answered 400 with code model_not_budgetable.",
    ),
    Requirement(
        "sessions:budget:create-only",
        "core 5.6",
        "A budget cannot be added later: code budget_create_only.",
    ),
    Requirement(
        "sessions:budget:raised",
        "core 5.6",
        "A new cap must be above the consumed cost: code budget_not_raised.",
    ),
    Requirement(
        "sessions:budget:pauses",
        "core 8.6",
        "At the cap the session goes idle with budget_reached; raising it resumes.",
    ),
    Requirement(
        "sessions:budget:settle-events", "core 8.6", "At the cap only settling events are accepted."
    ),
    Requirement(
        "sessions:update:title",
        "core 5.6",
        "title and metadata can be changed; session.updated carries only what changed.",
    ),
    Requirement(
        "sessions:update:agent",
        "core 5.6",
        "tools and mcp_servers can be replaced while the session is not running.",
    ),
    Requirement(
        "sessions:update:agent-running", "core 10.3", "Changing them while it runs is answered 400."
    ),
    Requirement("sessions:update:vaults", "core 10.3", "vault_ids in an update is answered 400."),
    Requirement("sessions:update:archived", "core 5.6", "An archived session cannot be updated."),
    Requirement(
        "sessions:status:aggregate",
        "core 5.5",
        "A finished session is idle, never terminated; any running thread makes it running.",
    ),
    Requirement(
        "sessions:status:committed-first",
        "core 5.5",
        "A status can be read before its event arrives on a stream.",
    ),
    Requirement(
        "sessions:usage:counters",
        "core 5.2",
        "usage counts uncached, cached and created tokens, and active seconds.",
    ),
    Requirement(
        "sessions:usage:list-cost", "core 5.2", "list_cost is absent until the model has a price."
    ),
    Requirement(
        "sessions:stats:seconds",
        "core 5.2",
        "stats tell active and total seconds; the total is frozen at the end.",
    ),
    Requirement(
        "sessions:list:filters",
        "core 5.9",
        "Agent, version, creation time, deployment, memory store and statuses filter the list.",
    ),
    Requirement(
        "sessions:list:archived",
        "core 5.9",
        "Archived sessions are listed only with include_archived.",
    ),
    Requirement("sessions:list:order", "core 5.9", "order is by creation, desc by default."),
    Requirement(
        "sessions:archive:terminates",
        "core 5.7",
        "Archive sets archived_at and terminated, and emits session.status_terminated.",
    ),
    Requirement(
        "sessions:archive:running", "core 5.7", "A running session cannot be archived: 400."
    ),
    Requirement(
        "sessions:archive:readable",
        "core 5.7",
        "The history of an archived session can be read; no event is accepted.",
    ),
    Requirement(
        "sessions:delete:answer",
        "core 5.7",
        "Delete answers {id, type: session_deleted}; later reads are 404.",
    ),
    Requirement("sessions:delete:running", "core 5.7", "A running session cannot be deleted: 400."),
    Requirement(
        "sessions:delete:stream", "core 5.7", "Delete sends session.deleted and ends open streams."
    ),
    Requirement(
        "sessions:recovery:accepted",
        "core 8.1",
        "What was answered 200 survives a killed server, once and in order.",
    ),
    Requirement(
        "sessions:recovery:open-call",
        "core 12a",
        "A call without a result is run again only if it reads; others end in an error result.",
    ),
    Requirement(
        "resources:create:kinds",
        "core 5.8",
        "file, github_repository and memory_store resources are accepted with their defaults.",
        deferred=_NOTHING_TO_MOUNT,
    ),
    Requirement("resources:create:caps", "core 5.8", "At most 500 files and 8 memory stores."),
    Requirement(
        "resources:create:paths",
        "core 14",
        "File paths are rooted under the uploads, repositories under /workspace.",
    ),
    Requirement(
        "resources:create:self-hosted",
        "core 3.5",
        "Files and repositories are answered 400 in self_hosted environments.",
    ),
    Requirement(
        "resources:token:write-only",
        "core 5.8",
        "A repository's token is never shown, and never inside the sandbox.",
    ),
    Requirement("resources:add:file-only", "core 5.8", "Only files can be added later."),
    Requirement("resources:update:token", "core 5.8", "Only a repository's token can be changed."),
    Requirement(
        "resources:delete:answer",
        "core 5.8",
        "Delete answers {id, type: session_resource_deleted}.",
    ),
    Requirement(
        "resources:repository:clone",
        "core 5.8",
        "A repository is there before the first model request; git pulls and pushes as usual.",
    ),
    Requirement(
        "resources:repository:checkout",
        "resources D-27",
        "The default branch, a branch or a commit is checked out at the repository's mount path.",
    ),
    Requirement(
        "resources:repository:errors",
        "core 8.3",
        "A repository that is not there is a session.error of its kind; the session goes on.",
    ),
    Requirement(
        "resources:repository:retried",
        "core 8.3",
        "A repository that failed is tried again when the session works again.",
    ),
    Requirement(
        "resources:repository:skills",
        "resources K-35",
        "Skills of repositories are announced to the model, each with its own path.",
    ),
    Requirement(
        "resources:repository:stays",
        "core 5.8",
        "A repository cannot be deleted from its session: it stays as long as that.",
    ),
    Requirement(
        "resources:list:all",
        "core 1.3",
        "Without limit all resources are listed; with it, at most 1000 a page.",
    ),
)
