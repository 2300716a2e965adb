#!/bin/sh
# Makes a virtual environment with gan_lib (editable), its extras, and the versions a constraints file names.
#
#   sh .ci/setup.sh VENV CONSTRAINTS [PYTHON ...]      from the repository root; PYTHON in the environment overrides
#
# Prints nothing on standard output when VENV is ready, else one line that says what to do (the Makefile stops with it).
# VENV/ready, written last, says what VENV was made from. Without it VENV is made afresh: an interrupted pip leaves
# packages behind that look installed.

venv=$1 constraints=$2
shift 2
[ -z "$PYTHON" ] || set -- "$PYTHON"
python=$venv/bin/python
log=$venv/setup.log
wanted="$(cat pyproject.toml "$constraints" | cksum) $PWD"

stop() {
    echo "$*"
    exit 1
}

works() { # the Python and pip of VENV run, and it is the Python that was asked for
    "$python" -m pip --version >/dev/null 2>&1 || return 1
    [ -z "$PYTHON" ] || [ "$("$PYTHON" -c "$version" 2>/dev/null)" = "$("$python" -c "$version")" ]
}

version='import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))'

find_python() { # sets found, or stops
    problem="No Python was found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12"
    [ -z "$PYTHON" ] || problem="PYTHON=$PYTHON does not run: give the path of a Python 3.11 or newer"
    for found; do
        number=$("$found" -c "$version" 2>/dev/null)
        case $?:$number in
        0:?*)
            "$found" -c 'import ensurepip, venv' 2>/dev/null && return
            stop "Python $number ($found) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)," \
                "or name another Python: make PYTHON=/path/to/python3.12"
            ;;
        1:?*)
            problem="The course needs Python 3.11 or newer, and $found is Python $number: install a newer one, or name"
            problem="$problem it: make PYTHON=/path/to/python3.12"
            ;;
        esac
    done
    stop "$problem"
}

install() {
    PIP_CONSTRAINT=$constraints PIP_BUILD_CONSTRAINT=$constraints PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$python" -m pip install --no-input --quiet --editable '.[lab,test]' >"$log" 2>&1 && return
    if grep -q 'No space left' "$log"; then
        stop "The disk is full: the course needs about 1.5 GB here. Make room, then try again"
    elif grep -qE 'from versions: none|Max retries exceeded|timed out|Connection (refused|reset|aborted)' "$log"; then
        stop "No network: pip reaches no package index. Connect, then try again (details: $log)"
    fi
    stop "pip could not install the packages: $(grep -m 1 '^ERROR' "$log") (details: $log)"
}

if [ -f "$venv/ready" ] && works; then
    [ "$(cat "$venv/ready")" != "$wanted" ] || exit 0
    echo "Updating $venv ..." >&2
    rm "$venv/ready"
else
    find_python "$@"
    echo "Setting up $venv with Python $number: once, a few minutes, about 1.5 GB ..." >&2
    rm -rf "$venv"
    problem=$("$found" -m venv "$venv" 2>&1) ||
        stop "Python $number ($found) cannot make $venv: $(echo "$problem" | tail -n 1)"
fi
install
echo "$wanted" >"$venv/ready"
