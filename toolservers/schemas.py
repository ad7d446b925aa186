"""What the tools are called, what they take and what they say of themselves, as literals.

The inputs are those of the agent toolset (spec/core 2.7.1).
"""

from __future__ import annotations

from toolservers.call import ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _tool(
    name: str,
    description: str,
    properties: dict[str, Any],
    required: list[str],
    annotations: dict[str, Any],
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
        "annotations": annotations,
    }


_READS = {"readOnlyHint": True, "openWorldHint": False}
_WRITES = {"readOnlyHint": False, "openWorldHint": False}

TOOLS: tuple[dict[str, Any], ...] = (
    _tool(
        "bash",
        "Run a command in a bash shell that keeps its directory, variables and background jobs "
        "from call to call. Output and errors come back together, of long output the last "
        "100 KiB. Standard input is empty. After a timeout, restart the shell.",
        {
            "command": {
                "type": "string",
                "description": "The command to run. Leave it out only to restart.",
            },
            "restart": {
                "type": "boolean",
                "description": "Start a fresh shell instead of running a command.",
            },
            "timeout_ms": {
                "type": "integer",
                "minimum": 0,
                "description": "Milliseconds until the command is killed; 0 or none: 120000.",
            },
        },
        [],
        {"readOnlyHint": False, "destructiveHint": True, "openWorldHint": True},
    ),
    _tool(
        "edit",
        "Replace text in a file. The old text must occur exactly once, unless replace_all is set.",
        {
            "file_path": {"type": "string", "description": "The file to change."},
            "old_string": {"type": "string", "description": "The exact text to replace."},
            "new_string": {"type": "string", "description": "What takes its place."},
            "replace_all": {
                "type": "boolean",
                "description": "Replace every occurrence instead of the only one.",
            },
        },
        ["file_path", "old_string", "new_string"],
        {**_WRITES, "destructiveHint": True},
    ),
    _tool(
        "glob",
        "List the paths that match a pattern such as **/*.py, newest first, at most 200.",
        {
            "pattern": {
                "type": "string",
                "description": "A relative pattern with *, ?, [...], {a,b} and ** for any depth.",
            },
            "path": {
                "type": "string",
                "description": "The directory to search; by default the working directory.",
            },
        },
        ["pattern"],
        _READS,
    ),
    _tool(
        "grep",
        "Search files for a regular expression. Gives path:line:text for every matching line, in "
        "the order of the paths; skips .git, node_modules, links and binary files.",
        {
            "pattern": {"type": "string", "description": "The regular expression."},
            "path": {
                "type": "string",
                "description": "The directory or file to search; by default the working directory.",
            },
        },
        ["pattern"],
        _READS,
    ),
    _tool(
        "read",
        "Read a text file of at most 256 KiB, some lines of a larger one, an image (png, jpg, "
        "gif, webp) or a PDF.",
        {
            "file_path": {"type": "string", "description": "The file to read."},
            "view_range": {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 2,
                "maxItems": 2,
                "description": "First and last line, counted from 1; a last line of 0 or less "
                "means the end of the file.",
            },
        },
        ["file_path"],
        _READS,
    ),
    _tool(
        "write",
        "Write a whole file; parent directories are created, an existing file is replaced.",
        {
            "file_path": {"type": "string", "description": "The file to write."},
            "content": {"type": "string", "description": "Everything the file shall contain."},
        },
        ["file_path", "content"],
        {**_WRITES, "destructiveHint": True, "idempotentHint": True},
    ),
)
"""Of a session's sandbox, in the order of their names."""

_GOES_OUT = {"readOnlyHint": True, "openWorldHint": True}

WEB_TOOLS: tuple[dict[str, Any], ...] = (
    _tool(
        "web_fetch",
        "Fetch a page, a PDF or a text file from the web and read it as text; pages come as "
        "Markdown.",
        {
            "url": {
                "type": "string",
                "description": "The whole address, with http:// or https://.",
            },
        },
        ["url"],
        _GOES_OUT,
    ),
    _tool(
        "web_search",
        "Search the web. Gives titles, addresses and excerpts; read the pages with web_fetch.",
        {"query": {"type": "string", "description": "What to search for, in a few words."}},
        ["query"],
        _GOES_OUT,
    ),
)
"""Of a session's web sandbox."""

TOOLSETS: dict[str, tuple[dict[str, Any], ...]] = {"agent": TOOLS, "web": WEB_TOOLS}
"""What one program serves, by the name it is started with."""

_SCHEMAS: dict[str, Any] = {
    tool["name"]: tool["inputSchema"] for tools in TOOLSETS.values() for tool in tools
}


def check_arguments(name: str, arguments: dict[str, Any]) -> None:
    """Compare the arguments of a tool with its schema; a null counts as left out.

    Raises:
        ToolError: They do not fit.
    """
    schema = _SCHEMAS[name]
    for required in schema["required"]:
        if arguments.get(required) is None:
            raise ToolError(f"{required} is required")
    for key, value in arguments.items():
        expected = schema["properties"].get(key)
        if expected is None:
            raise ToolError(f"unknown argument {key!r}")
        if value is not None and not _fits(value, expected):
            raise ToolError(f"{key} must be {_TYPES[expected['type']][1]}")


_TYPES: dict[str, tuple[type, str]] = {
    "string": (str, "a string"),
    "boolean": (bool, "true or false"),
    "integer": (int, "a whole number"),
    "array": (list, "a list of whole numbers"),
}


def _fits(value: Any, expected: dict[str, Any]) -> bool:
    if expected["type"] == "array":
        return isinstance(value, list) and all(_fits(item, expected["items"]) for item in value)
    if expected["type"] == "integer" and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[expected["type"]][0])
