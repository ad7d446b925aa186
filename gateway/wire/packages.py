"""How packages are named, manager by manager (spec/core 3.4).

A name may pin a version the way its manager writes it. What else a manager understands, such as
paths, addresses, aliases and options, is refused: a name comes from a registry, or from nowhere.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidRequest

MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")
"""In the order in which they install."""

MAX_PACKAGES = 200
"""Of one manager."""
MAX_NAME = 200

_NPM_NAME = r"[a-z0-9~_][a-z0-9~._-]*"
_PIP_CLAUSE = r"(?:===|==|~=|!=|<=|>=|<|>)[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "apt": (
        re.compile(
            r"[a-z0-9][a-z0-9+.-]*[a-z0-9+](:[a-z0-9-]+)?(=[A-Za-z0-9][A-Za-z0-9.+:~-]*|/[a-z0-9-]+)?"
        ),
        "name or name=version",
    ),
    "cargo": (
        re.compile(r"[A-Za-z][A-Za-z0-9_-]*(@[=^~<>]{0,2}[0-9][A-Za-z0-9.+*-]*)?"),
        "name or name@version",
    ),
    "gem": (
        re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9][A-Za-z0-9.-]*)?"),
        "name or name:version",
    ),
    "go": (
        re.compile(
            r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+(/[A-Za-z0-9_~-][A-Za-z0-9._~+-]*)+"
            r"(@[A-Za-z0-9][A-Za-z0-9._+-]*)?"
        ),
        "the path of a command, or path@version",
    ),
    "npm": (
        re.compile(
            rf"(@{_NPM_NAME}/)?{_NPM_NAME}(@[=^~<>]{{0,2}}[A-Za-z0-9*][A-Za-z0-9.*+_-]*)?",
            re.IGNORECASE,
        ),
        "name or name@version",
    ),
    "pip": (
        re.compile(
            r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*\])?"
            rf"({_PIP_CLAUSE}(,{_PIP_CLAUSE})*)?"
        ),
        "name or name==version",
    ),
}


def check_packages(packages: Mapping[str, Any]) -> None:
    """Check the names of an environment's packages.

    Raises:
        InvalidRequest: The message names the field and the form its manager takes.
    """
    for manager in MANAGERS:
        names: list[str] = packages.get(manager) or []
        if len(names) > MAX_PACKAGES:
            raise InvalidRequest(
                f"config.packages.{manager}: at most {MAX_PACKAGES} packages are allowed"
            )
        form, example = _FORMS[manager]
        for index, name in enumerate(names):
            if len(name) > MAX_NAME or not form.fullmatch(name):
                raise InvalidRequest(
                    f"config.packages.{manager}.{index}: {name[:MAX_NAME]!r} is not {example}"
                )
