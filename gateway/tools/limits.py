"""The limits of an environment's sandboxes, as the operator set them."""

from dataclasses import fields
from typing import Any

from gateway.settings import SandboxSettings
from sandbox.contract import Limits


def limits_of(settings: SandboxSettings, *, environment: str = "", name: str = "") -> Limits:
    """Return the limits for sandboxes of an environment, given its id and its name.

    What is set for its id comes before what is set for its name, and that before the defaults.
    """
    chosen: dict[str, Any] = {each.name: getattr(settings, each.name) for each in fields(Limits)}
    for key in (name, environment):
        if (special := settings.environments.get(key)) is not None:
            chosen |= special.model_dump(exclude_none=True)
    return Limits(**chosen)
