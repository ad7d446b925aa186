# shellcheck shell=sh
# Sourced by bin/wharfkeep and bin/check with $root set: makes what they need, once. POSIX sh.
#
#   setup runtime           the packages of requirements/runtime.txt in $root/.venv
#   setup runtime bwrap     and the system programs of sandboxes
#   setup dev bwrap         and the packages of requirements/dev.txt
#
# When nothing is missing it returns at once, without network, lock or write. pip, uv and apt-get are
# used with whatever configuration they have here.

venv=$root/.venv
python=$venv/bin/python

setup() {
	if [ -z "$(missing_programs "${2:-}")" ] && is_current "$1"; then return 0; fi
	if [ -w "$root" ]; then
		exec 9>"$root/.venv.lock"
		flock 9 # another start may be installing: wait for it, then look again
	fi
	missing=$(missing_programs "${2:-}")
	[ -z "$missing" ] || install_programs "$missing"
	if ! is_current "$1"; then
		[ -w "$root" ] || fail "cannot write $root; its owner has to run this command once"
		quietly "installing the packages of requirements/$1.txt" install_packages "$1" ||
			fail "the installation failed; the same command tries again"
	fi
	exec 9>&-
}

say() { printf 'wharfkeep: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The Debian packages of programs that are not here, in one line.
missing_programs() {
	set -- "$1" ''
	if ! [ -x "$python" ] && ! command -v uv >/dev/null; then
		command -v python3 >/dev/null || set -- "$1" "$2 python3"
		python3 -c 'import ensurepip, venv' 2>/dev/null || set -- "$1" "$2 python3-venv"
	fi
	if [ "$1" = bwrap ] && ! command -v bwrap >/dev/null; then
		set -- "$1" "$2 bubblewrap"
		# ripgrep makes searches faster, but is not worth an installation of its own.
		command -v rg >/dev/null || set -- "$1" "$2 ripgrep"
	fi
	printf '%s' "${2# }"
}

install_programs() {
	command -v apt-get >/dev/null || fail "please install: $1"
	if [ "$(id -u)" = 0 ]; then
		as_root=
	elif sudo -n true 2>/dev/null; then
		as_root='sudo -n'
	else
		fail "ask an administrator to run: sudo apt-get install -y $1"
	fi
	# RUNLEVEL: what is installed is not started.
	apt="$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o DPkg::Lock::Timeout=300"
	quietly "installing $1" sh -c "$apt update && $apt install -y --no-install-recommends $1" ||
		fail "apt-get failed; try: sudo apt-get update && sudo apt-get install -y $1"
}

# The stamp names the lock and the interpreter: a new lock or an upgraded Python installs again.
is_current() {
	[ -x "$python" ] && [ -f "$venv/$1.stamp" ] && [ "$(cat "$venv/$1.stamp")" = "$(stamp "$1")" ]
}

stamp() { { cat "$root/requirements/$1.txt" && readlink -f "$python"; } | sha256sum; }

# Chained with && because `set -e` means nothing in a function whose status is looked at.
install_packages() {
	locked="--require-hashes --only-binary :all: -r $1.txt"
	# shellcheck disable=SC2086 # $locked is several words
	cd "$root/requirements" &&
		if command -v uv >/dev/null; then
			{ is_whole "$venv/bin/python" || uv venv --clear --python '>=3.11' "$venv"; } &&
				uv pip install --compile-bytecode --python "$python" $locked
		else
			python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 is needed")' &&
				{ is_whole "$venv/bin/pip" || python3 -m venv --clear "$venv"; } &&
				"$python" -m pip install --no-input --disable-pip-version-check $locked
		fi &&
		# Our rooms are imported from the checkout; a relative line survives its being moved.
		echo ../../../.. >"$(libraries)/wharfkeep.pth" &&
		"$python" -m compileall -q "$root/gateway" "$root/sandbox" "$root/toolservers" &&
		{ [ "$1" != dev ] || stamp runtime >"$venv/runtime.stamp"; } && # dev.txt contains runtime.txt
		stamp "$1" >"$venv/$1.stamp"
}

# is_whole PROGRAM: an installation has ended in .venv, for this Python, and left PROGRAM there.
is_whole() { [ -x "$1" ] && [ -f "$venv/runtime.stamp" ] && [ -d "$(libraries)" ]; }

libraries() { echo "$venv/lib/$(basename "$(readlink -f "$python")")/site-packages"; }

# quietly MESSAGE COMMAND...: one line, with the seconds on a terminal; output only of a failure.
quietly() {
	message=$1
	shift
	log=$(mktemp)
	ticker=
	if [ -t 2 ]; then
		tick "$message" 9>&- &
		ticker=$!
	else
		say "$message"
	fi
	status=0
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if [ -n "$ticker" ]; then
		kill "$ticker" 2>/dev/null && wait "$ticker" 2>/dev/null || :
		printf '\n' >&2
	fi
	[ "$status" = 0 ] || tail -n 30 "$log" >&2
	rm -f "$log"
	return "$status"
}

tick() {
	seconds=0
	while kill -0 $$ 2>/dev/null; do
		printf '\rwharfkeep: %s ... %s s' "$1" "$seconds" >&2
		sleep 1
		seconds=$((seconds + 1))
	done
}
