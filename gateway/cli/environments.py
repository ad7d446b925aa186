"""``wharfkeep environments``: what a running gateway does for environments."""

import json
from typing import Any

import click

from gateway.cli.options import json_option, key_option, url_option
from gateway.errors import GatewayError


@click.group()
def environments() -> None:
    """Look after environments of a running gateway."""


@environments.command("build")
@click.argument("environment", metavar="ID")
@click.option("--retry", is_flag=True, help="Begin again if it failed.")
@url_option
@key_option
@json_option
def build_environment(environment: str, retry: bool, url: str, key: str, as_json: bool) -> None:
    """Show how its packages are installed, to the end.

    Exit status 1 if that failed. With --json each state is a line, with what is new of the log.
    """
    from gateway.progress import follow

    build: dict[str, Any] = {}
    for build in follow(url, key, environment, retry=retry):
        if as_json:
            click.echo(json.dumps(build))
        else:
            for line in build["lines"]:
                click.echo(line["text"])
    if build["status"] == "failed":
        raise GatewayError(build["reason"])
    if not as_json:
        click.echo("The packages are ready.", err=True)
