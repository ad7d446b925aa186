"""Every code block of the documentation runs."""

from pathlib import Path

import pytest

from tests.docs.page import blocks, run
from tests.house.tree import ROOT, files, name

_PAGES = [
    path
    for path in (*files("docs"), ROOT / "README.md")
    if path.suffix == ".md" and path.exists() and blocks(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", _PAGES, ids=name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path):
    run(page, page.read_text(encoding="utf-8"), tmp_path)


@pytest.mark.parametrize("page", _PAGES, ids=name)
def test_a_block_that_is_not_run_says_why(page: Path):
    found = blocks(page.read_text(encoding="utf-8"))
    assert [block.line for block in found if block.not_run == ""] == []


def test_blocks_of_a_page_share_a_directory_variables_and_an_interpreter(tmp_path: Path):
    text = """
```bash
export GREETING=hello
echo "$GREETING" >greeting.txt
```
```python
greeting = open("greeting.txt", encoding="utf-8").read().strip()
```
```bash
test "$GREETING" = hello
```
1. An indented block:

   ```python
   assert greeting == "hello"
   ```

<!-- not run: it would fail -->
```bash
false
```
"""
    run(tmp_path / "page.md", text, tmp_path)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```bash\necho something went wrong\nfalse\necho never\n```", "something went wrong"),
        ("```python\nraise ValueError('no such thing')\n```", "no such thing"),
    ],
)
def test_a_failing_block_fails_the_page_with_what_it_printed(block: str, said: str, tmp_path: Path):
    with pytest.raises(AssertionError, match=said):
        run(tmp_path / "page.md", block, tmp_path)
