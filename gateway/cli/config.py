"""``wharfkeep config``: the configuration, before anything is started with it."""

import json
from pathlib import Path

import click

from gateway.cli.options import config_option, data_dir_option, json_option, settings


@click.group()
def config() -> None:
    """Check and show the configuration."""


@config.command("check")
@config_option
def check_config(file: Path | None) -> None:
    """Say what is wrong with the configuration."""
    settings(file, None)
    click.echo("The configuration is good.")


@config.command("show")
@data_dir_option
@config_option
@json_option
def show_config(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Print the configuration in force, without its secrets."""
    from gateway.effective import shown, toml

    document = shown(settings(file, data_dir))
    click.echo(json.dumps(document) if as_json else toml(document), nl=as_json)


@config.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from gateway.reference import schema

    click.echo(schema(), nl=False)
