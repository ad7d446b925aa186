"""Multipart bodies: which parts each endpoint takes. How they are read is `gateway.api.upload`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import InvalidRequest
from gateway.wire.queries import Parameter, Whole


@dataclass(frozen=True)
class Form:
    """One file, and texts beside it.

    `file` is the name of the part that carries the file; `fields` are the others by name.
    """

    file: str
    fields: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])

    def parse(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Read the texts; unknown ones are left out.

        Raises:
            InvalidRequest: The message names the part and the rule.
        """
        return {
            name: parameter.read(name, [given[name]]) if name in given else parameter.default
            for name, parameter in self.fields.items()
        }

    def check_name(self, name: str, *, strict: bool) -> None:
        """Refuse a part that the endpoint does not take, unless such parts are ignored.

        Raises:
            InvalidRequest: It has no such part.
        """
        if strict and name != self.file and name not in self.fields:
            raise InvalidRequest(f"{name[:100]}: unknown field")


FILE_UPLOAD = Form("file", {"expires_in_seconds": Whole(3600, 7_776_000)})  # spec/resources F-13
