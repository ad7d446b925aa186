# Single steps for contributors. ./bin/check does all of them and makes .venv.

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")

# list the recipes
default:
    @just --list

# everything, as CI runs it
check *args:
    ./bin/check {{ args }}

# some tests: just test tests/store -k lease
test *args:
    python -P -m pytest {{ args }}

# format and fix what can be fixed
format:
    ruff format .
    ruff check --fix .

# lint and import rules
lint:
    ruff format --check .
    ruff check .
    lint-imports

# types, strictly
types *args:
    basedpyright {{ args }}

# write the generated pages, schema and example configuration
docs:
    python -P -m gateway reference .
    python -m tests.sandbox.abuse.catalogue

# renew the hashed locks
lock:
    #!/usr/bin/env bash
    set -euo pipefail
    write() {
      name=$1; shift; file=requirements/$name.txt; new=$(mktemp)
      uv pip compile --quiet --upgrade --generate-hashes --universal --only-binary :all: --no-emit-index-url --no-header \
        --no-annotate --python-version 3.11 --extra postgres "$@" pyproject.toml -o "$new"
      { sed -n '/^#/p' "$file"; cat "$new"; } >"$file.new"; mv "$file.new" "$file"; rm "$new"
    }
    write runtime
    write dev --group dev -c requirements/runtime.txt
