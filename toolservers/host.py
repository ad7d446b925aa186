"""The one sandbox this program serves: its directories, environment, processes and shells."""

from __future__ import annotations

import os
import sys

from toolservers.children import Children
from toolservers.output import LIMIT
from toolservers.paths import Roots
from toolservers.schemas import TOOLSETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolservers.bash import Shells


class Host:
    """What every tool call may use, whichever connection it came by."""

    def __init__(
        self,
        roots: Roots | None = None,
        env: Mapping[str, str] | None = None,
        *,
        toolset: str = "agent",
        libraries: str | None = None,
    ) -> None:
        """`toolset` is a name in `TOOLSETS`, `libraries` where the parsers of web tools are."""
        self.tools = TOOLSETS[toolset]
        self.libraries = libraries
        self.roots = roots or Roots()
        self.children = Children()
        self._inherited = inherited_env() if env is None else dict(env)
        self._claimed: dict[str, str] = {}
        self._shells: Shells | None = None
        self.output = LIMIT
        """Bytes of what one command writes that are kept."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of the next child."""
        return {**self._inherited, **self._claimed}

    @property
    def shells(self) -> Shells:
        if self._shells is None:
            from toolservers.bash import Shells

            self._shells = Shells(self)
        return self._shells

    def claim(self, env: Mapping[str, str], output: int = LIMIT) -> None:
        """From now on children have `env` as well; running ones keep what they have."""
        self._claimed = dict(env)
        self.output = output

    def python(self, module: str) -> list[str]:
        """The command that runs ``main()`` of one of this package's modules on its arguments."""
        home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        code = f"import sys; sys.path.insert(0, sys.argv.pop(1)); import {module} as m; m.main()"
        return [sys.executable, "-I", "-S", "-c", code, home]


def inherited_env() -> dict[str, str]:
    """This process's environment without what it may hold for a model's client."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
