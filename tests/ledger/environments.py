"""Environments."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "environments:create:default",
        "core 3.3",
        "A name is enough: cloud, unrestricted, no packages.",
    ),
    Requirement(
        "environments:create:unique",
        "core 3.3",
        "A live name that is taken is answered 409, without retries.",
    ),
    Requirement(
        "environments:create:archived-name",
        "core 3.3",
        "The name of an archived environment is free again.",
    ),
    Requirement(
        "environments:create:scope",
        "core 3.3",
        "scope account is answered 400; the default is organization.",
    ),
    Requirement(
        "environments:create:metadata",
        "core 3.3",
        "Bad metadata is answered 400 with code invalid_metadata.",
    ),
    Requirement(
        "environments:cloud:limited",
        "core 3.4",
        "limited reads back with hosts and both switches, false by default.",
    ),
    Requirement(
        "environments:cloud:hosts",
        "core 3.4",
        "allowed_hosts are host names or *.host; anything more is answered 400.",
    ),
    Requirement("environments:cloud:packages", "core 3.4", "Packages read back as six lists."),
    Requirement(
        "environments:cloud:packages-limited",
        "core 3.4",
        "Packages under limited networking need allow_package_managers.",
    ),
    Requirement(
        "environments:network:unrestricted",
        "core 3.4",
        "unrestricted lets programs reach every public host, on every port but that of mail.",
    ),
    Requirement(
        "environments:network:limited",
        "core 3.4",
        "limited lets them reach the allowed hosts, by http and https; *.host is not host itself.",
    ),
    Requirement(
        "environments:network:switches",
        "core 3.4",
        "The switches of limited add the agent's MCP servers and package registries.",
    ),
    Requirement(
        "environments:cloud:package-names",
        "core 3.4",
        "Packages are names of their manager's registry, with a version at most; else 400.",
    ),
    Requirement(
        "environments:cloud:packages-possible",
        "core 3.4",
        "Packages that this machine cannot install are answered 400 with the field and the remedy.",
    ),
    Requirement(
        "environments:cloud:packages-order",
        "core 3.4",
        "Packages are installed once, manager by manager in alphabetical order, and shared.",
    ),
    Requirement(
        "environments:sandbox:checkpoint",
        "core 3.4",
        "The sandbox of an idle session is put away, and comes back with its files.",
    ),
    Requirement(
        "environments:sandbox:days",
        "core 3.4",
        "It is kept for 30 days from its creation, however much it is used; an operator may say"
        " otherwise.",
    ),
    Requirement(
        "environments:sandbox:fresh",
        "core 3.4",
        "A session whose sandbox is gone goes on in a fresh one.",
    ),
    Requirement("environments:self-hosted:bare", "core 3.5", "self_hosted has no other field."),
    Requirement(
        "environments:update:merge",
        "core 3.3",
        "Omitted config fields keep their value, also inside networking.",
    ),
    Requirement(
        "environments:update:type",
        "core 3.3",
        "Another config type is answered 400 with code invalid_config_type_change.",
    ),
    Requirement(
        "environments:update:metadata", "core 3.3", "null and the empty string delete a key."
    ),
    Requirement(
        "environments:update:description",
        "core 3.3",
        "null clears; an empty description stays empty.",
    ),
    Requirement(
        "environments:update:archived",
        "core 3.3",
        "Updating an archived one is answered 400 with code environment_archived.",
    ),
    Requirement(
        "environments:archive:once",
        "core 3.3",
        "Archive is irreversible; repeating it succeeds silently.",
    ),
    Requirement(
        "environments:archive:no-new-sessions",
        "core 3.3",
        "A session cannot be created in an archived environment.",
    ),
    Requirement(
        "environments:delete:answer",
        "core 1.2",
        "Delete answers {id, type: environment_deleted}; later reads are 404.",
    ),
    Requirement(
        "environments:delete:in-use", "core 3.3", "Delete is refused while a live session uses it."
    ),
    Requirement(
        "environments:list:archived", "core 3.3", "include_archived shows archived ones too."
    ),
)
