"""What an audit record says of a decision: enough to explain it, and nothing secret.

Arguments are shown redacted and shortened, with the digest of what they really were. The rules look
at names and at shapes, so they miss a secret that looks like nothing; an operator adds names with
``audit.redact``. The chains that hold the records are `gateway.store.chain`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.policy.enterprise import Ruling
from gateway.policy.facts import AgentFacts, SessionFacts, ToolFacts, UserFacts
from gateway.store.chain import AuditRecord, digest

REDACTED = "[redacted]"
LEFT_OUT = "[left out]"
MAX_TEXT = 200
"""Characters shown of one text."""
MAX_ARGUMENTS = 4000
"""Characters shown of all arguments of a call, names included; each value counts as eight more."""
MAX_DEPTH = 8
MAX_NAMES = 50
"""Groups and policies listed in one record; their numbers are told if there are more."""

_EXACT = 2**53
_ROOM = 1000
"""Characters beyond `MAX_TEXT` that are looked at, for secrets that begin before the cut."""
_KEEP_NAME = rf"\g<1>{REDACTED}"
_UNSURE = 64
"""At a cut, half a token is not known for one: so much of the end is not shown."""

_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|secret|credential|authorization|cookie|bearer"
    r"|(api|access|private|signing|encryption)key|token(?!s$|izer|count|limit)"
    r"|^(pwd|pass|pin|otp|cvv|cvc|jwt|pat)$"
)
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")
_NAMED = r"(?:passw(?:or)?d|passphrase|secret|token|credential|(?:api|access|private)[_-]?key)"
# What a shape always contains, in small letters, and the shape: looking for the first is a hundred
# times faster. The first group, where there is one, stays.
_SHAPES = tuple(
    (mark, re.compile(shape, re.DOTALL | re.IGNORECASE))
    for marks, shape in (
        # PEM: from its first line to its last, or to the end.
        (
            ("-----begin ",),
            r"()-----BEGIN [A-Z0-9 ]{0,40}-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
        ),
        # A JSON Web Token.
        (("eyj",), r"()\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)*"),
        # Tokens that say whose they are.
        (("sk-", "sk_", "rk_", "wk-", "xai-"), r"()\b(?:[a-z]?sk|rk|wk|xai)[-_][\w-]{16,}"),
        (
            ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
            r"()\b(?:gh[opusr]|github_pat)_\w{16,}",
        ),
        (
            ("glpat-", "npm_", "hf_", "shpat_", "dop_v1_", "whsec_"),
            r"()\b(?:glpat-|npm_|hf_|shpat_|dop_v1_|whsec_)[\w-]{16,}",
        ),
        (
            ("xox", "xapp-", "pypi-", "sg.", "ya29.", "aiza"),
            r"()\b(?:xox[a-z]-|xapp-|pypi-|SG\.|ya29\.|AIza)[\w.-]{16,}",
        ),
        (("akia", "asia"), r"()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        # What a server, a header, a program or a shell is told.
        (("://",), r"(://)[^\s/@]{1,200}(?=@)"),
        (("authorization",), r"""(authorization["']?\s?[:=]\s?["']?\w+ )[^\s"']+"""),
        (("bearer ",), r"(\bbearer )(?=\S*\d)[\w.~+/=-]{8,}"),
        (("-u ", "--user"), r"((?:\s-u|\s--user[ =]) ?)[^\s:]{1,100}:\S+"),
        (
            ("passw", "passphrase", "secret", "token", "credential", "key"),
            rf"""({_NAMED}["']?(?:\s?[=:]\s?|(?<=["'])\s))["']?[^\s"'&;,]+["']?""",
        ),
        (
            ("--",),
            rf"(--[\w-]{{0,40}}{_NAMED} )\S+",
        ),
    )
    for mark in marks
)


@dataclass(frozen=True, slots=True)
class Redaction:
    """Makes arguments fit to be written down.

    Args:
        names: More names of arguments that are never shown; case and punctuation do not matter.
    """

    names: Iterable[str] = ()
    _names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", frozenset(map(_plain, self.names)))

    def show(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments without secrets, each text and the whole bounded."""
        return _Shown(self._names).object(arguments, MAX_DEPTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What a person said of the call."""

    id: str
    """Of the approval."""
    by: str


def decision_record(
    *,
    id: str,  # noqa: A002 - the wire's word
    at: int,
    stage: Literal["proposed", "admitted"],
    session: str,
    thread: str,
    event: str,
    agent: AgentFacts,
    actor: UserFacts,
    tool: ToolFacts,
    outcome: Literal["allow", "ask", "deny"],
    rule: str,
    evaluation: dict[str, Any] | None,
    state: SessionFacts,
    arguments: Mapping[str, Any],
    redaction: Redaction,
    arguments_digest: str = "",
    ruling: Ruling | None = None,
    policy_set: str = "",
    shadow: Ruling | None = None,
    switch: str = "",
    enforced: bool = True,
    approval: Approved | None = None,
) -> AuditRecord:
    """The record of one decision on one call, for the chain of its session.

    `stage` says whether the model just made the call or it is about to leave, `state` what the
    session had done until then, `switch` why a kill switch stopped the call, and `enforced` whether
    the enterprise's `ruling` counted. `arguments_digest` is as `digest_arguments` makes it, if it
    is known already.
    """
    body: dict[str, Any] = {
        "stage": stage,
        "thread": thread,
        "agent": {"id": agent.id, "version": agent.version},
        "actor": {"id": actor.id, "kind": actor.kind, **_list("groups", actor.groups)},
        "tool": {"server": tool.server, "name": tool.name, "digest": tool.digest},
        "rule": rule,
        "evaluation": evaluation,
        "ruling": _show_ruling(ruling),
        "policy_set": policy_set,
        "shadow": _show_ruling(shadow),
        "enforced": enforced,
        "switch": switch,
        "approval": None if approval is None else {"id": approval.id, "by": approval.by},
        "state": _show_state(state),
        "arguments": redaction.show(arguments),
        "arguments_digest": arguments_digest or digest_arguments(arguments),
    }
    about = {"workspace": agent.workspace, "session": session, "event": event, "actor": actor.id}
    return AuditRecord(
        id=id, at=at, kind="decision", tool=tool.action, outcome=outcome, body=body, **about
    )


def digest_arguments(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a call's arguments, in hex (`gateway.store.chain`)."""
    return digest(arguments)


def _show_state(state: SessionFacts) -> dict[str, Any]:
    return {
        "read_private": state.read_private,
        "read_untrusted": state.read_untrusted,
        "data_label": state.data_label,
        "spent_cents": state.spent_cents,
        "spend_cap_cents": state.spend_cap_cents,
        "calls_last_minute": state.calls_last_minute,
    }


def _show_ruling(ruling: Ruling | None) -> dict[str, Any] | None:
    if ruling is None:
        return None
    return {
        "outcome": ruling.outcome,
        **_list("policies", ruling.policies),
        "problem": _shorten(ruling.problem),
    }


def _list(name: str, names: Iterable[str]) -> dict[str, Any]:
    """The first of `names`, in order, and how many there are where that is not all."""
    every = sorted(names)
    if len(every) <= MAX_NAMES:
        return {name: every}
    return {name: every[:MAX_NAMES], f"{name}_in_all": len(every)}


class _Shown:
    """One set of arguments on its way into a record; it has a budget."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._left = MAX_ARGUMENTS

    def object(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, item in value.items():
            if self._left <= 0:
                shown[LEFT_OUT] = f"{len(value) - len(shown)} of {len(value)}"
                break
            name = _shorten(name)  # noqa: PLW2901 - what follows must not see the long one
            self._left -= len(name)
            shown[name] = REDACTED if self._is_secret(name) else self._value(item, depth - 1)
        return shown

    def _value(self, value: Any, depth: int) -> Any:
        self._left -= 8
        match value:
            case str():
                text = _shorten(value)
                self._left -= len(text)
                return text
            case bool() | None:
                return value
            case int() | float():
                # Beyond that, and not a number at all, is nothing that every reader would keep.
                return value if abs(value) < _EXACT else _shorten(str(value))
            case _ if depth <= 0:
                return LEFT_OUT
            case Mapping():
                return self.object(value, depth)
            case _:
                return self._array(value, depth)

    def _array(self, value: list[Any], depth: int) -> list[Any]:
        shown: list[Any] = []
        for item in value:
            if self._left <= 0:
                shown.append(f"{LEFT_OUT[:-1]}: {len(value) - len(shown)} of {len(value)}]")
                break
            shown.append(self._value(item, depth - 1))
        return shown

    def _is_secret(self, name: str) -> bool:
        plain = _plain(name)
        return plain in self._names or _SECRET_NAME.search(plain) is not None


def _plain(name: str) -> str:
    return _NOT_A_LETTER.sub("", name.lower())


def _shorten(text: str) -> str:
    """A text without the secrets in it, and not too long: its beginning and its length."""
    seen = text[: MAX_TEXT + _ROOM]
    shown, small = seen, seen.lower()
    for mark, shape in _SHAPES:
        if mark in small:
            shown = shape.sub(_KEEP_NAME, shown)
    shown = shown.encode("utf-8", "replace").decode()
    if len(seen) < len(text):
        shown = shown[: max(len(shown) - _UNSURE, 0)]
    if len(shown) <= MAX_TEXT and len(seen) == len(text):
        return shown
    return f"{shown[:MAX_TEXT]}... [{len(text)} characters]"
