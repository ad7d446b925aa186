"""Programs as people use them, in real sandboxes, reaching out through the proxy."""

import re
import shutil
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from gateway.registries import MANAGERS, Registries
from gateway.tools.egress import REGISTRIES, Facts
from sandbox.contract import SandboxSpec
from tests.e2e.inside import UNRESTRICTED, Inside, Place, git_server, limited, place
from tests.sandbox.outside import Authority, Web, own_address, web

_SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")
NAMES = ("open.test", "sub.open.test", "denied.test", "node.test", "git.test")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def address() -> str:
    try:
        return own_address()
    except PermissionError:
        pytest.skip("only root may listen on the ports of the web here")


@pytest.fixture
def https(authority: Authority, address: str) -> Iterator[Web]:
    with web(authority.server(*NAMES), at=(address, 443)) as server:
        yield server


@pytest.fixture
def http(address: str) -> Iterator[Web]:
    with web(at=(address, 80)) as server:
        yield server


@pytest.fixture
async def here(authority: Authority, address: str) -> AsyncGenerator[Place]:
    """Names of the test lead to its servers; the machine's registries are known."""
    async with place(
        registries=Registries(managers={}),
        ca_file=authority.file,
        names=dict.fromkeys(NAMES, address),
        private=["*.test"],
    ) as made:
        yield made


@pytest.fixture
async def inside(here: Place) -> Inside:
    return await here.sandbox("one", limited("open.test", "*.open.test", "git.test", "node.test"))


def needs(program: str, where: str = "/usr/bin:/usr/local/bin:/usr/local/go/bin") -> str:
    """Where sandboxes find a program; the test is skipped where there is none."""
    found = shutil.which(program, path=where)
    if found is None:
        pytest.skip(f"{program} is not installed for everyone here")
    return found


async def test_curl_reaches_what_is_allowed_and_is_told_what_is_not(
    inside: Inside, https: Web, http: Web
):
    needs("curl")
    assert await inside.run("curl -sS https://open.test/a") == "GET /a 0"
    assert await inside.run("curl -sS https://sub.open.test/b") == "GET /b 0"
    assert await inside.run("curl -sS http://open.test/c") == "GET /c 0"
    assert await inside.run("curl -sS -p http://open.test/d") == "GET /d 0"
    denied = await inside.run("curl -sSi https://denied.test/")
    assert "HTTP/1.1 403" in denied
    assert "X-Wharfkeep-Egress: network:not_allowed" in denied
    assert "network:not_allowed" in await inside.run("curl -sS http://denied.test/")
    assert {each.path for each in https.heard} == {"/a", "/b"}


async def test_a_big_body_and_a_big_answer_pass(inside: Inside, https: Web):
    needs("curl")
    sent = await inside.run(
        "head -c 20000000 /dev/zero | curl -sS --data-binary @- https://open.test/up"
    )
    assert sent == "POST /up 20000000"


async def test_there_is_no_way_around_the_proxy(inside: Inside, https: Web):
    needs("curl")
    assert "resolve" in await inside.run("curl -sS --noproxy '*' https://open.test/")
    assert await inside.run("getent hosts open.test; echo $?") == "2"
    literals = ("169.254.169.254", "127.0.0.2", "2130706433", "0x7f000001", "[::1]")
    for literal in literals:
        said = await inside.run(f"curl -sSi --noproxy '' http://{literal}/")
        assert "X-Wharfkeep-Egress: " in said, said
    assert https.heard == []


@pytest.mark.probe(71)
async def test_a_proxy_inside_changes_nothing(inside: Inside, https: Web):
    needs("curl")
    relay = """
python3 - <<'END' &
import socket, threading
listener = socket.create_server(("127.0.0.1", 9999))
print("listening", flush=True)
def carry(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
while True:
    client, _ = listener.accept()
    proxy = socket.create_connection(("127.0.0.1", 3128))
    threading.Thread(target=carry, args=(client, proxy), daemon=True).start()
    threading.Thread(target=carry, args=(proxy, client), daemon=True).start()
END
until (exec 3<>/dev/tcp/127.0.0.1/9999) 2>/dev/null; do :; done
curl -sS -x http://127.0.0.1:9999 https://open.test/relayed
curl -sSi -x http://127.0.0.1:9999 https://denied.test/
kill %1
"""
    said = await inside.run(relay)
    assert "GET /relayed 0" in said
    assert "X-Wharfkeep-Egress: network:not_allowed" in said


async def test_a_redirect_to_a_host_that_is_not_allowed_ends_there(
    inside: Inside, authority: Authority, address: str, http: Web
):
    needs("curl")
    elsewhere = "http://denied.test/stolen"
    with web(authority.server(*NAMES), location=elsewhere, at=(address, 443)):
        said = await inside.run("curl -sSLi https://open.test/")
    assert "network:not_allowed" in said
    assert http.heard == []


async def test_the_socket_of_another_sandbox_cannot_be_seen(here: Place):
    one = await here.sandbox("one", UNRESTRICTED)
    other = await here.sandbox("other", UNRESTRICTED)
    theirs = other.sandbox.sockets / "egress"
    assert await one.run("ls /opt/wharfkeep/gateway") == "egress\nsocket"
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect('{theirs}')"
    said = await one.run(f'test -e {theirs} || echo absent; python3 -c "{connect}"')
    assert said.startswith("absent\n")
    assert "FileNotFoundError" in said


async def test_a_sandbox_without_a_way_out_has_nothing_that_listens(here: Place):
    sandbox = await here.driver.create(SandboxSpec(id="closed"))
    await sandbox.claim(env={})
    said = await Inside(sandbox).run("exec 3<>/dev/tcp/127.0.0.1/3128")
    assert "Connection refused" in said


async def test_a_tightened_environment_closes_tunnels_and_denies_the_next(
    here: Place, inside: Inside, https: Web
):
    needs("curl")
    # It may be closed before it has said a word.
    hold = "trap '' PIPE; exec 3<>/dev/tcp/127.0.0.1/3128;"
    hold += "printf 'CONNECT open.test:443 HTTP/1.1\\r\\n"
    hold += "Host: open.test:443\\r\\n\\r\\n' >&3; cat <&3; echo closed"
    said = ""

    async def wait() -> None:
        nonlocal said
        said = await inside.run(hold)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        network = here.network
        with anyio.fail_after(20):
            while not any(door.meters for door in network._egress._doors.values()):  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - nothing else tells
                await anyio.lowlevel.checkpoint()
        await network.update("one", Facts(networking=limited("git.test")))
    assert said.endswith("closed")
    assert "403" in await inside.run("curl -sSi https://open.test/")


async def test_when_the_proxy_is_gone_requests_fail_and_do_not_hang(
    here: Place, inside: Inside, https: Web
):
    needs("curl")
    await here.network.close("one")
    assert "curl: (" in await inside.run("curl -sS https://open.test/")
    assert inside.sandbox.alive


async def test_python_reaches_out(inside: Inside, https: Web, http: Web):
    ask = "import urllib.request as r; print(r.urlopen('{}://open.test/py').read().decode())"
    for scheme in ("https", "http"):
        assert "GET /py 0" in await inside.run(f'python3 -c "{ask.format(scheme)}"')


async def test_git_clones_and_pushes(
    inside: Inside, authority: Authority, address: str, tmp_path: Path
):
    needs("git")
    bare = tmp_path / "repository.git"
    for command in (
        ["init", "-q", "--bare", str(bare)],
        ["-C", str(bare), "config", "http.receivepack", "true"],
    ):
        await anyio.run_process(["git", *command])
    with git_server(tmp_path, authority.server(*NAMES), (address, 443)):
        said = await inside.run(
            "cd /workspace && git clone -q https://git.test/repository.git && cd repository"
            " && git config user.email a@b && git config user.name a && head -c 3000000 /dev/urandom > big"
            " && git add big && git commit -qm one && git push -q origin HEAD:main && echo pushed"
            " && git ls-remote --heads https://git.test/repository.git"
            "; git ls-remote https://denied.test/repository.git"
        )
    assert "pushed" in said
    assert "refs/heads/main" in said
    assert "403" in said


_NODE = """
const tell = async (url) => {
  try { console.log((await (await fetch(url)).text()).trim()); }
  catch (error) { console.log(`${error.message}: ${error.cause && error.cause.message}`); }
};
await tell("https://node.test/1");
await tell("http://node.test/2");
await tell("https://denied.test/3");
"""


async def test_fetch_of_node_reaches_out(inside: Inside, https: Web, http: Web):
    node = needs("node")
    await inside.sandbox.push("/workspace/ask.mjs", _NODE.encode())
    first, second, third = (await inside.run(f"{node} /workspace/ask.mjs")).splitlines()
    assert (first, second) == ("GET /1 0", "GET /2 0")
    assert "fetch failed" in third


async def test_java_reaches_out(inside: Inside, http: Web):
    java = needs("java")
    source = """
public class Ask {
    public static void main(String[] words) throws Exception {
        var url = new java.net.URI("http://open.test/java").toURL();
        System.out.println(new String(url.openStream().readAllBytes()));
        var request = java.net.http.HttpRequest.newBuilder(url.toURI()).build();
        var client = java.net.http.HttpClient.newHttpClient();
        System.out.println(client.send(request, java.net.http.HttpResponse.BodyHandlers.ofString()).body());
    }
}
"""
    await inside.sandbox.push("/workspace/Ask.java", source.encode())
    said = await inside.run(f"{java} /workspace/Ask.java")
    assert said.count("GET /java 0") == 2


# The registries that this machine uses, wherever they are.


@pytest.fixture(scope="module")
def registries() -> Registries:
    """What this machine's package managers tell, and their registries answer."""
    learned = Registries()
    anyio.run(learned.learn)
    if not learned.environment():
        pytest.skip("no package registry answers here")
    return learned


@pytest.fixture
async def with_packages(registries: Registries) -> AsyncGenerator[Inside]:
    """A sandbox that may reach package registries and nothing else."""
    async with place(
        registries=registries, ca_file=_SYSTEM, names={}, private=[REGISTRIES]
    ) as made:
        yield await made.sandbox("packages", limited(allow_package_managers=True))


PACKAGE_MANAGERS = {
    "pip": (
        "python3",
        "python3 -m pip download -q --no-deps -d /tmp/x six && ls /tmp/x",
        r"six-.*whl",
    ),
    "npm": ("npm", "npm view left-pad version", r"\d+\.\d+\.\d+"),
    "go": (
        "go",
        (
            "cd /workspace && PATH=$PATH:/usr/local/go/bin && go mod init a.test/a"
            " && go get golang.org/x/sync@v0.7.0 && cat go.sum"
        ),
        r"golang.org/x/sync v0.7.0 h1:",
    ),
    "cargo": (
        "cargo",
        "cd /workspace && cargo init -q --name a && cargo add -q cfg-if && cargo fetch && cat Cargo.lock",
        r'name = "cfg-if"',
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("manager", PACKAGE_MANAGERS)
async def test_what_installs_packages_reaches_its_registry(
    with_packages: Inside, registries: Registries, manager: str
):
    program, script, expected = PACKAGE_MANAGERS[manager]
    needs(program)
    if manager == "pip" and "No module" in await with_packages.run("python3 -m pip --version 2>&1"):
        pytest.skip("the system's Python has no pip here")
    if manager not in registries.known:
        pytest.skip(f"{manager} names no registry that answers here")
    said = await with_packages.run(script)
    assert re.search(expected, said), said


@pytest.mark.slow
async def test_apt_reaches_its_mirrors(with_packages: Inside, registries: Registries):
    needs("apt-get")
    sources = anyio.Path("/etc/apt/sources.list.d/debian.sources")
    if "apt" not in registries.known or not await sources.exists():
        pytest.skip("apt names no mirror of Debian here")
    await with_packages.sandbox.push("/workspace/debian.sources", await sources.read_bytes())
    said = await with_packages.run(
        "cd /workspace && mkdir -p lists/partial cache/archives/partial && apt-get update"
        " -o Dir::Etc::sourcelist=/workspace/debian.sources -o Dir::Etc::sourceparts=/nowhere"
        " -o Dir::State::lists=/workspace/lists -o Dir::Cache=/workspace/cache"
        " -o Dir::State::status=/dev/null -o APT::Sandbox::User=; ls lists"
    )
    assert "_InRelease" in said, said


@pytest.mark.slow
async def test_nothing_else_is_reached_with_packages_allowed(with_packages: Inside):
    needs("curl")
    said = await with_packages.run("curl -sSi https://example.com/")
    assert "X-Wharfkeep-Egress: network:not_allowed" in said


def test_everything_that_installs_packages_is_asked():
    assert set(MANAGERS) == {"apt", "cargo", "gem", "go", "npm", "pip"}
