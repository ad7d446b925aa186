"""What sessions read and make: files, and pages of the web."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from gateway.settings.section import Bytes, Section


class Files(Section):
    """Files: where their bytes are, and how many there may be."""

    url: str = ""
    """``s3://BUCKET/PREFIX`` for an S3-compatible store; empty means the data directory."""
    endpoint: str | None = None
    """The address of the S3-compatible store; AWS if there is none."""
    region: str | None = None
    """The region of the bucket."""
    virtual_hosted: bool = False
    """Put the bucket into the host name of requests and not into their path."""
    access_key_id: str | None = None
    """The key's name; without one the SDK's usual places are searched."""
    secret_access_key: SecretStr | None = None
    """The key itself."""
    secret_access_key_file: Path | None = None
    """A file that holds the key."""
    max_file: Bytes = 500 * 1024**2
    """The largest file."""
    quota: Bytes = 1024**4
    """What all files may take together; copies in sessions do not count."""
    upload_seconds: Annotated[float, Field(gt=0, le=43_200)] = 3600.0
    """The longest an upload may take."""
    calls_per_minute: Annotated[int, Field(ge=0)] = 0
    """Requests to the Files API a minute, for each workspace; 0 sets no limit."""
    download_uploads: bool = False
    """Uploaded files can be downloaded; else only what sessions made."""
    expired_days: Annotated[int, Field(ge=0)] = 30
    """How long an expired file is still listed; its bytes are gone at once."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How often expired and deleted files are cleaned up."""
    inline: Bytes = 24 * 1024**2
    """The bytes of files that one model request may carry; older ones are left out."""
    output_files: Annotated[int, Field(ge=0)] = 1000
    """Files of one session's outputs that are kept."""
    output_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How often a running session's outputs are looked at; at the end of a turn they always are."""


class Web(Section):
    """The tools web_fetch and web_search."""

    search: Literal["", "brave", "tavily", "searxng"] = ""
    """What searches the web; empty: web_search says that there is none."""
    search_url: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    """Where it is, if not at the engine's own address; SearXNG needs it. May be private."""
    search_key: SecretStr | None = None
    """The key it is called with."""
    search_key_file: Path | None = None
    """A file that holds the key."""
    search_price: Annotated[float, Field(ge=0)] = 0.0
    """US dollars for a thousand searches, as part of a session's list cost."""
    search_results: Annotated[int, Field(ge=1, le=20)] = 10
    """Results of one search, at most."""
    max_content_tokens: Annotated[int, Field(ge=1)] = 25_000
    """Text of one web_fetch, at four characters a token, when the agent does not say."""
    user_agent: Annotated[str, Field(pattern=r"^[!-~][ -~]*$")] = (
        "Wharfkeep/0.1 (+https://github.com/wharfkeep/wharfkeep)"
    )
    """How web_fetch presents itself; ``robots.txt`` is read for the part before the slash."""
    robots: bool = True
    """web_fetch respects ``robots.txt``."""
    private_hosts: list[str] = []
    """Hosts that web_fetch may reach although their addresses are private."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.search == "searxng" and not self.search_url:
            raise ValueError("search_url is needed when search is 'searxng'")
        keyed = self.search_key is not None or self.search_key_file is not None
        if self.search in ("brave", "tavily") and not keyed:
            raise ValueError(f"search_key or search_key_file is needed for {self.search!r}")
        return self
