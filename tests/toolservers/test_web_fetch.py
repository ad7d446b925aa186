"""web_fetch, over its protocol, in a small internet of real servers."""

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.tools.libraries import PACKAGES, libraries
from tests.toolservers.internet import Internet, Page, Visit, Write, moved
from tests.toolservers.peer import PYTHON, Server


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the parsers of this installation and nothing else."""
    return libraries(Path(PYTHON), tmp_path_factory.mktemp("libraries"))


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[Internet]:
    with Internet(tmp_path) as internet:
        yield internet


@pytest.fixture
def web(workdir: Path, internet: Internet, parsers: Path) -> Iterator[Server]:
    options = ("--toolset", "web", "--libraries", str(parsers))
    with Server(workdir, *options, env=internet.env) as server:
        yield server


def fetch(server: Server, url: str, **settings: Any) -> tuple[dict[str, Any], str | None]:
    """Fetch; returns the resource, and the text of an error if that is what came."""
    meta = {"wharfkeep/settings": settings}
    result = server.answer(server.start_call("web_fetch", {"url": url}, **meta))["result"]
    (block,) = result["content"]
    if result["isError"]:
        return {}, block["text"]
    return block["resource"], None


def text(server: Server, url: str, **settings: Any) -> str:
    """The text of a document that can be fetched."""
    resource, error = fetch(server, url, **settings)
    assert error is None
    return resource["text"]


def refusal(server: Server, url: str, **settings: Any) -> str:
    _, error = fetch(server, url, **settings)
    assert error is not None
    return error


def test_a_web_sandbox_has_the_web_tools_and_no_others(web: Server):
    tools = web.ask("tools/list")["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["web_fetch", "web_search"]
    assert web.answer(web.start_call("bash", {"command": "id"}))["error"]["code"] == -32602


def test_a_page_becomes_markdown_with_its_title_and_absolute_links(web: Server, internet: Internet):
    internet.pages["site.example/docs/page"] = Page(
        """<!doctype html><title> The   title </title><body><nav>menu</nav><main>
        <h1>Heading</h1><p>Some <b>bold</b> text and <a href="../other?x=1#part">a link</a>.
        <ul><li>one<li>two</ul><img src=a.png alt="a boat"><script>alert(1)</script>
        <style>p{}</style><pre>x =  1</pre><p hidden>unseen</main>"""
    )
    resource, _ = fetch(web, "http://site.example/docs/page#below")
    assert resource["uri"] == "http://site.example/docs/page"
    assert resource["mimeType"] == "text/markdown"
    assert resource["_meta"] == {"wharfkeep/title": "The title"}
    assert resource["text"] == (
        "# Heading\n\nSome **bold** text and [a link](http://site.example/other?x=1).\n\n"
        "- one\n- two\n\n(image: a boat)\n\n```\nx =  1\n```"
    )


def test_a_page_without_a_main_part_is_read_whole(web: Server, internet: Internet):
    internet.pages["site.example/"] = Page("<nav>menu</nav><main> </main><p>body")
    assert text(web, "http://site.example") == "menu\n\nbody"


def test_tables_of_data_stay_tables_and_those_for_layout_do_not(web: Server, internet: Internet):
    internet.pages["site.example/"] = Page(
        "<table class=x><tr><th>a<th>b<tr><td>1<td><a href=/two>2</a></table>"
        "<table><tr><td><h2>Side</h2><td>text</table>"
    )
    assert text(web, "http://site.example/") == (
        "<table><tbody><tr><th>a</th><th>b</th></tr><tr><td>1</td>"
        '<td><a href="http://site.example/two">2</a></td></tr></tbody></table>\n\n## Side\n\ntext'
    )


def test_https_reaches_from_the_sandbox_to_the_server(web: Server, internet: Internet):
    internet.pages["www.secure.example/"] = Page("<p>safe")
    assert text(web, "https://www.secure.example/") == "safe"
    assert internet.asked[-1] == "CONNECT www.secure.example:443 HTTP/1.1"


def test_a_certificate_of_another_host_is_refused(web: Server):
    told = refusal(web, "https://elsewhere.example/")
    assert told.startswith("web_fetch: url_not_accessible: elsewhere.example: its certificate")


def test_what_is_text_already_stays_as_it_is(web: Server, internet: Internet):
    data = json.dumps({"a": ["<b>", 1]})
    internet.pages["site.example/data"] = Page(data, "application/json")
    resource, _ = fetch(web, "http://site.example/data")
    assert (resource["text"], resource["mimeType"]) == (data, "text/plain")


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("text/html; charset=iso-8859-1", "<p>caf\xe9".encode("latin-1"), "café"),
        ("text/html", '<meta charset="windows-1251"><p>мир'.encode("cp1251"), "мир"),
        ("text/html; charset=utf-16", "<p>wide".encode("utf-16"), "wide"),
        ("text/html; charset=nonsense", "<p>né".encode(), "né"),
        ("text/html; charset=utf-8", b"<p>bad \xff byte", "bad \ufffd byte"),
        ("text/plain; charset=zip", "né".encode(), "né"),
        ("text/plain; charset=us-ascii", b"caf\xe9", "café"),
        ("text/plain; charset=shift_jis", "海".encode("shift_jis"), "海"),
        ("text/plain", b"\xef\xbb\xbfmarked", "marked"),
        ("text/plain", b"old caf\xe9 page", "old café page"),
        ("text/plain", "né".encode() + b" \xff", "né \ufffd"),
        ("", b"<!DOCTYPE html><p>untold", "untold"),
        ("application/octet-stream", b"just text", "just text"),
    ],
)
def test_text_is_read_in_the_encoding_it_is_in(
    web: Server, internet: Internet, kind: str, body: bytes, shown: str
):
    internet.pages["site.example/"] = Page(body, kind)
    assert text(web, "http://site.example/") == shown


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("text/html", b"MZ\0\0\0"),
        ("text/plain", b"\x7fELF\0\0"),
        ("application/zip", b"PK"),
        ("", b"\0\1\2"),
    ],
)
def test_what_is_no_text_is_refused_whatever_it_says_it_is(
    web: Server, internet: Internet, kind: str, body: bytes
):
    internet.pages["site.example/"] = Page(body, kind)
    assert refusal(web, "http://site.example/").startswith("web_fetch: unsupported_content_type: ")


def test_long_text_is_cut_where_the_caller_says(web: Server, internet: Internet):
    internet.pages["site.example/"] = Page("<p>" + "word " * 1000)
    shown = text(web, "http://site.example/", max_characters=40)
    assert shown == "word " * 8 + "\n\n[Cut here: 40 of 4999 characters.]"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://site.example/", "file:///etc/passwd", "site.example", "http://", "//site.example/",
        "http://user@site.example/", "http://site.example/ x", "http://site.example\\@evil.example/",
        "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://-a.example/",
        "http://site.example:0/", "http://site.example:99999/", "http://[::1/",
        "http://site.example/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_told(web: Server, internet: Internet, url: str):
    assert refusal(web, url).startswith("web_fetch: invalid_tool_input: ")
    assert internet.asked == []


def test_redirects_are_followed_and_the_last_address_is_told(web: Server, internet: Internet):
    internet.pages["a.example/"] = moved("http://b.example/x", 301)
    internet.pages["b.example/x"] = moved("y?z", 307)
    internet.pages["b.example/y?z"] = Page("<p>there")
    resource, _ = fetch(web, "http://a.example/")
    assert (resource["uri"], resource["text"]) == ("http://b.example/y?z", "there")


def test_a_redirect_to_a_forbidden_domain_is_not_followed(web: Server, internet: Internet):
    internet.pages["a.example/"] = moved("http://evil.example/")
    told = refusal(web, "http://a.example/", allowed_domains=["a.example"])
    assert told == "web_fetch: url_not_allowed: this agent may not fetch from evil.example"
    assert internet.paths() == ["a.example/"]


@pytest.mark.parametrize("url", ["http://evil.example/", "http://x.EVIL.example/"])
def test_blocked_domains_are_not_visited(web: Server, internet: Internet, url: str):
    told = refusal(web, url, blocked_domains=["Evil.example"])
    assert "url_not_allowed" in told
    assert internet.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_the_proxy_refuses_is_told_in_its_words(web: Server, internet: Internet, scheme: str):
    internet.refused.add("inside.example")
    internet.pages["a.example/"] = moved(f"{scheme}://inside.example/")
    assert refusal(web, "http://a.example/") == (
        "web_fetch: url_not_allowed: inside.example: wharfkeep: inside.example is at an address"
        " of this kind (address:private)"
    )


def test_redirects_in_a_circle_end(web: Server, internet: Internet):
    internet.pages["a.example/"] = moved("http://b.example/")
    internet.pages["b.example/"] = moved("http://a.example/")
    told = refusal(web, "http://a.example/")
    assert told == "web_fetch: url_not_accessible: more than 10 redirects"
    assert len(internet.paths()) == 11


def test_a_redirect_to_no_web_page_is_told(web: Server, internet: Internet):
    internet.pages["a.example/"] = moved("javascript:alert(1)")
    assert "redirects to no web page" in refusal(web, "http://a.example/")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "url_not_accessible: a.example answered 404 Not Found"),
        (500, "url_not_accessible: a.example answered 500 Internal Server Error"),
        (429, "too_many_requests: a.example asks to slow down"),
    ],
)
def test_an_error_of_the_server_is_an_error(
    web: Server, internet: Internet, status: int, told: str
):
    internet.pages["a.example/"] = Page("x", status=status)
    assert refusal(web, "http://a.example/") == f"web_fetch: {told}"


def test_we_say_who_we_are(web: Server, internet: Internet):
    internet.pages["a.example/"] = Page("<p>x")
    text(web, "http://a.example/", user_agent="Harbour/2.0 (+https://harbour.example)")
    agents = {visit.headers["User-Agent"] for visit in internet.visits}
    assert agents == {"Harbour/2.0 (+https://harbour.example)"}


def test_robots_txt_is_respected_and_read_once(web: Server, internet: Internet):
    internet.pages["a.example/robots.txt"] = Page(
        "User-agent: *\nDisallow: /\n\nUser-agent: Harbour\nDisallow: /private\n", "text/plain"
    )
    internet.pages["a.example/open"] = Page("<p>open")
    internet.pages["a.example/private/x"] = Page("<p>private")
    us = {"user_agent": "Harbour/2.0"}
    assert text(web, "http://a.example/open", **us) == "open"
    assert refusal(web, "http://a.example/private/x", **us) == (
        "web_fetch: url_not_allowed: robots.txt of a.example asks not to fetch this"
    )
    assert text(web, "http://a.example/private/x", **us, robots=False) == "private"
    robots = [visit for visit in internet.visits if visit.path == "/robots.txt"]
    assert len(robots) == 1


def test_a_site_whose_robots_txt_fails_is_left_alone_until_it_answers(
    web: Server, internet: Internet
):
    internet.pages["a.example/"] = Page("<p>x")
    internet.pages["a.example/robots.txt"] = Page(status=503)
    assert "robots.txt" in refusal(web, "http://a.example/")
    internet.pages["a.example/robots.txt"] = moved("/rules")
    internet.pages["a.example/rules"] = Page("User-agent: *\nAllow: /", "text/plain")
    assert text(web, "http://a.example/") == "x"


def endless(visit: Visit, write: Write) -> None:
    write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>")
    while True:
        write(b"x" * 65536)


def test_an_endless_page_is_read_up_to_the_limit(web: Server, internet: Internet):
    internet.pages["a.example/"] = endless
    resource, _ = fetch(web, "http://a.example/", max_characters=10**9)
    assert resource["text"].startswith("xxx")
    assert "[Cut here: only the first 5242880 bytes were read.]" in resource["text"]


def test_a_gzip_bomb_unfolds_no_further_than_the_limit(web: Server, internet: Internet):
    bomb = gzip.compress(b"<p>" + b"x" * (500 * 1024 * 1024), 6)
    page = Page(bomb, "text/plain", headers={"Content-Encoding": "gzip"})
    internet.pages["a.example/"] = page
    resource, _ = fetch(web, "http://a.example/", max_characters=10**9)
    assert len(resource["text"]) < 11 * 1024 * 1024
    assert "[Cut here: only the first 10485760 bytes were read.]" in resource["text"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-strange"])
def test_a_body_not_compressed_as_it_says_is_an_error(
    web: Server, internet: Internet, encoding: str
):
    internet.pages["a.example/"] = Page("<p>x", headers={"Content-Encoding": encoding})
    assert refusal(web, "http://a.example/").startswith("web_fetch: url_not_accessible: a.example")


def drip(visit: Visit, write: Write) -> None:
    write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n")
    while not threading.Event().wait(0.01):
        write(b"X: y\r\n")


def test_a_server_that_drips_is_left_at_the_deadline(web: Server, internet: Internet):
    internet.pages["a.example/"] = drip
    meta = {"wharfkeep/deadline_ms": 500}
    told, failed = web.call("web_fetch", {"url": "http://a.example/"}, **meta)
    assert failed
    assert told.startswith("web_fetch: ")


def test_a_fetch_can_be_cancelled(web: Server, internet: Internet):
    reached = threading.Event()

    def silent(visit: Visit, write: Write) -> None:
        reached.set()
        threading.Event().wait(30)

    internet.pages["a.example/"] = silent
    number = web.start_call("web_fetch", {"url": "http://a.example/"})
    assert reached.wait(20)
    note = {"method": "notifications/cancelled", "params": {"requestId": number}}
    web.send({"jsonrpc": "2.0", **note})
    internet.pages["a.example/"] = Page("<p>again")
    assert text(web, "http://a.example/", robots=False) == "again"


@pytest.mark.slow
def test_a_hundred_megabytes_on_one_line_are_survived(web: Server, internet: Internet):
    internet.pages["a.example/"] = Page(b"<p>" + b"<b>x</b> " * (100 * 1024 * 1024 // 9))
    meta = {"wharfkeep/deadline_ms": 8000}
    shown, failed = web.call("web_fetch", {"url": "http://a.example/"}, **meta)
    # How much of it can be read in that time depends on the machine.
    assert "timed out after" in shown if failed else shown == ""
    internet.pages["a.example/next"] = Page("<p>next")
    assert text(web, "http://a.example/next") == "next"


@pytest.mark.parametrize("tag", ["div", "b", "ul><li", "table><tr><td", "blockquote", "a href=x"])
def test_tags_can_be_nested_as_deeply_as_anybody_likes(web: Server, internet: Internet, tag: str):
    internet.pages["a.example/"] = Page(f"<{tag}>" * 20_000 + "inside")
    resource, error = fetch(web, "http://a.example/")
    if error is None:
        assert "inside" in resource["text"] or "[Cut here" in resource["text"]
    else:
        assert error.startswith("web_fetch: ")
    internet.pages["a.example/next"] = Page("<p>next")
    assert text(web, "http://a.example/next") == "next"


@pytest.mark.parametrize(
    "body",
    [
        b"%PDF-1.7\n",
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF",
        b"%PDF-1.4\nxref\n0 99999999\ntrailer << /Root 9 0 R /Prev 9 >>\nstartxref\n9\n%%EOF",
        b"%PDF-1.4\n" + b"[" * 100_000,
    ],
)
def test_a_broken_pdf_is_an_error(web: Server, internet: Internet, body: bytes):
    internet.pages["a.example/"] = Page(body, "application/pdf")
    told = refusal(web, "http://a.example/")
    assert told.startswith("web_fetch: the document cannot be read: ")
    assert "Traceback" not in told


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids: list[str] = []
    for line in pages:
        stream = f"BT /F1 24 Tf 72 700 Td ({line}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(f"{len(objects) + 1} 0 R")
        font = "<< /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R"
            f" /Resources << /Font {font} >> >>".encode()
        )
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    body = bytearray(b"%PDF-1.4\n")
    places: list[int] = []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        body += b"%010d 00000 n \n" % place
    body += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        start,
    )
    return bytes(body)


@pytest.mark.parametrize("kind", ["application/pdf", "text/html", ""])
def test_the_text_of_a_pdf_is_read_whatever_its_server_calls_it(
    web: Server, internet: Internet, kind: str
):
    internet.pages["a.example/paper"] = Page(pdf("Hello harbour", "Second page"), kind)
    resource, _ = fetch(web, "http://a.example/paper")
    assert resource["text"] == ("[page 1 of 2]\nHello harbour\n\n[page 2 of 2]\nSecond page")
    assert resource["mimeType"] == "text/plain"


def test_without_parsers_pages_are_refused_and_text_is_not(workdir: Path, internet: Internet):
    internet.pages["a.example/"] = Page("<p>x")
    internet.pages["a.example/text"] = Page("x", "text/plain")
    with Server(workdir, "--toolset", "web", env=internet.env) as server:
        assert "parsers are not installed" in refusal(server, "http://a.example/")
        assert text(server, "http://a.example/text") == "x"


def test_the_parsers_are_all_there_is_to_show(parsers: Path):
    assert {path.name for path in parsers.iterdir()} == set(PACKAGES)
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in parsers.rglob("*"))
    assert not [path for path in parsers.rglob("*") if path.suffix in (".so", ".pyd")]
