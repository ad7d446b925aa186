"""Showing the configuration in force."""

import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.config import Config, load
from gateway.effective import shown, toml
from gateway.settings import Endpoint, Models, StoreSettings

_SECRET = "a-very-secret-thing"


@pytest.mark.parametrize(
    "config",
    [
        Config(api_key=SecretStr(_SECRET)),
        Config(store=StoreSettings(url=f"postgresql://someone:{_SECRET}@db.example/wharfkeep")),
        Config(store=StoreSettings(url=f"postgresql://someone:a@{_SECRET}@db.example/wharfkeep")),
        Config(store=StoreSettings(url=f"postgresql://db.example/wharfkeep?password={_SECRET}")),
        Config(
            models=Models(
                endpoints={"mine": Endpoint(base_url="http://m", api_key=SecretStr(_SECRET))}
            )
        ),
        Config(
            models=Models(
                endpoints={"mine": Endpoint(base_url="http://m", headers={"x-key": _SECRET})}
            )
        ),
    ],
    ids=["key", "password", "password with @", "password in the query", "model key", "header"],
)
def test_no_secret_is_shown(config: Config):
    assert _SECRET not in toml(shown(config))


def test_the_rest_of_a_database_url_is_shown():
    config = Config(store=StoreSettings(url="postgresql://someone:x@db.example:5433/wharfkeep"))
    assert (
        shown(config)["store"]["url"] == "postgresql://someone:**********@db.example:5433/wharfkeep"
    )


def test_what_is_shown_as_toml_can_be_loaded_again(tmp_path: Path):
    config = Config(
        models=Models(endpoints={"my own": Endpoint(base_url="http://m", models=["a*", 'b"c'])})
    )
    file = tmp_path / "wharfkeep.toml"
    file.write_text(toml(shown(config)), encoding="utf-8")
    assert load(file) == config
    assert tomllib.loads(file.read_text(encoding="utf-8"))["models"]["endpoints"]["my own"]
