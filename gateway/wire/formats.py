"""Texts that need more than a length and a pattern: hosts, URLs, paths, base64, JSON Schemas.

Each function takes a value that already has the right type, returns it unchanged, and raises
`ValueError` with a sentence when it breaks the rule. `limits.py` says which field uses which.
"""

import binascii
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

BUILTIN_TOOLS = ("bash", "edit", "read", "write", "glob", "grep", "web_fetch", "web_search")

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_LOCAL = ("localhost", "local", "internal", "localdomain", "invalid")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EMAIL = re.compile(r"[!-?A-~]+@[0-9A-Za-z.-]*[0-9A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_HOST = 253


def web_domain(text: str) -> str:
    """A public DNS name without anything around it (spec/core 2.7.1)."""
    problem = _host_problem(text) or _not_public(text)
    if problem:
        raise ValueError(f"{text!r} {problem}")
    return text


def search_domain(text: str) -> str:
    """A public DNS name, with an optional path suffix (spec/core 2.7.1, web_search only)."""
    host, slash, path = text.partition("/")
    web_domain(host)
    if slash and re.search(r"[\s?#$,|^!]", path):
        raise ValueError(f"{text!r} has a path with white space or one of ? # $ , | ^ !")
    return text


def distinct_domains(domains: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    for index, domain in enumerate(domains):
        first = seen.setdefault(domain.lower(), index)
        if first != index:
            raise ValueError(f"entry {index} repeats entry {first} ({domain!r})")
    return domains


def allowed_host(text: str) -> str:
    """A host name, or ``*.`` and a host name (spec/core 3.4)."""
    problem = _host_problem(text.removeprefix("*."))
    if problem:
        raise ValueError(f"{text!r} {problem}; give a host name or '*.' and a host name")
    return text


def http_url(text: str) -> str:
    """An absolute http or https URL without credentials."""
    _split(text, ("http", "https"))
    return text


def repository_url(text: str) -> str:
    """An https URL of a repository, without ``.git`` (spec/core 5.8)."""
    parts = _split(text, ("https",))
    path = parts.path.strip("/")
    if not path or parts.query or parts.fragment:
        raise ValueError("must be the https URL of a repository, such as https://github.com/o/r")
    if path.endswith(".git"):
        raise ValueError("must not end in .git")
    return text


def upload_path(text: str) -> str:
    """A path that stays inside: all of them are rooted under the uploads (spec/core 14)."""
    _check_path(text)
    return text


def workspace_path(text: str) -> str:
    if not text.startswith("/workspace/"):
        raise ValueError("must be a path under /workspace")
    _check_path(text)
    return text


def base64_data(text: str) -> str:
    """Standard base64 with padding and nothing else, at least one byte."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is not valid base64") from error
    if not data:
        raise ValueError("must not be empty")
    return text


def tag(text: str) -> str:
    """The key of a workspace's tag (spec/resources 7.4)."""
    if text.lower().startswith("anthropic"):
        raise ValueError("tags that begin with 'anthropic' are reserved")
    return text


def external_key(_: str) -> str:
    """Nothing passes: keys are the gateway's own."""
    raise ValueError("there are no external keys here")


def email(text: str) -> str:
    """An e-mail address, good enough to tell people apart."""
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return text


def custom_tool_name(text: str) -> str:
    """A name that is neither a built-in tool's nor in a reserved range (spec/core 2.7.3)."""
    if text in BUILTIN_TOOLS:
        raise ValueError(f"{text!r} is the name of a built-in tool")
    for prefix in ("mcp__", "ant__"):
        if text.startswith(prefix):
            raise ValueError(f"names that begin with {prefix!r} are reserved")
    return text


def input_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a custom tool: what the API does not take (spec/core 2.7.3)."""
    for keyword in ("oneOf", "anyOf", "allOf"):
        if keyword in schema:
            raise ValueError(f"{keyword} is not supported at the top level")
    for name in schema.get("properties") or {}:
        if not _PROPERTY.fullmatch(name):
            raise ValueError(
                f"property {name[:80]!r} must be 1-64 letters, digits, '_', '.' or '-'"
            )
    if _has_reference(schema):
        raise ValueError("$ref is not supported")
    return schema


def _has_reference(schema: dict[str, Any]) -> bool:
    todo: list[Any] = [schema]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                return True
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
    return False


def _host_problem(host: str) -> str | None:
    if not host or len(host) > _MAX_HOST:
        return f"must be a host name of 1 to {_MAX_HOST} characters"
    if not host.isascii():
        return "must be plain ASCII; write international names in punycode"
    if "://" in host or "/" in host or ":" in host or "@" in host or "*" in host:
        return "must be a bare host name: no scheme, port, path, credentials or wildcard"
    if not all(_LABEL.fullmatch(label) for label in host.split(".")):
        return "is not a host name"
    return None


def _not_public(host: str) -> str | None:
    labels = host.lower().split(".")
    if labels[-1] in _LOCAL:
        return "is not a public host name"
    if _NUMBER.fullmatch(labels[-1]):
        return "must not be an IP address"
    if len(labels) == 1 or _registries().is_public(host.lower()):
        return "must not be a registry suffix or a single label"
    return None


@cache
def _registries() -> "PublicSuffixList":
    """The suffixes under which registries register names, read when first needed: it takes long."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(only_icann=True)


def _split(text: str, schemes: tuple[str, ...]) -> SplitResult:
    wanted = " or ".join(schemes)
    try:
        parts = urlsplit(text)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"must be an absolute {wanted} URL") from error
    if not valid or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise ValueError(f"must be an absolute {wanted} URL")
    if "@" in parts.netloc:
        raise ValueError("must not contain credentials")
    return parts


def _check_path(text: str) -> None:
    if _CONTROL.search(text) or text.endswith("/"):
        raise ValueError("must be a path without control characters and without a final slash")
    if any(part in ("..", ".") for part in text.split("/")):
        raise ValueError("must not contain '.' or '..' segments")
