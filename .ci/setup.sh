#!/bin/sh
# Makes a virtual environment with gan_lib (editable), its extras, and the versions a constraints file names.
#
#   sh .ci/setup.sh VENV CONSTRAINTS [PYTHON ...]      from the repository root; PYTHON in the environment overrides
#
# Prints nothing on standard output when VENV is ready, else one line that says what to do (the Makefile stops with it).
# VENV/ready, written last, says what VENV was made from. Without it VENV is made afresh: an interrupted pip leaves
# packages behind that look installed.

venv=$1 constraints=$2 old='' said=''
shift 2
[ -z "$PYTHON" ] || set -- "$PYTHON"
python=$venv/bin/python
log=$venv/setup.log
here=$(pwd -P)
wanted="$here
$(cat pyproject.toml "$constraints" | cksum)"

stop() {
    [ -z "$said" ] || [ ! -t 2 ] || printf '\033[A\033[2K' >&2 # on a terminal, the problem replaces the progress
    echo "$*"
    exit 1
}

say() {
    echo "$*" >&2
    said=1
}

works() { # VENV was made here, its Python and pip run, and it is the Python that was asked for
    [ "$(head -n 1 "$venv/ready" 2>/dev/null)" = "$here" ] && "$python" -c 'import pip' 2>/dev/null || return 1
    [ -z "$PYTHON" ] || [ "$("$PYTHON" -c "$version" 2>/dev/null)" = "$("$python" -c "$version")" ]
}

version='import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))'

find_python() { # sets found, or stops
    problem="No $(echo "$*" | sed 's/ /, /g') was found: install one, or name one: make lab PYTHON=/path/to/python3.12"
    [ -z "$PYTHON" ] || problem="PYTHON=$PYTHON does not run: give the path of a Python 3.11 or newer"
    for found; do
        number=$("$found" -c "$version" 2>/dev/null)
        case $?:$number in
        0:?*)
            "$found" -c 'import ensurepip, venv' 2>/dev/null && return
            stop "Python $number ($found) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)," \
                "or name another Python: make lab PYTHON=/path/to/python3.12"
            ;;
        1:?*)
            [ -n "$old" ] || old="$found is Python $number"
            ;;
        esac
    done
    [ -z "$old" ] || stop "The course needs Python 3.11 or newer, and $old: install a newer one, or name it:" \
        "make lab PYTHON=/path/to/python3.12"
    stop "$problem"
}

install() {
    PIP_CONSTRAINT=$constraints PIP_BUILD_CONSTRAINT=$constraints PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$python" -m pip install --no-input --quiet --no-compile --editable '.[lab,test]' >"$log" 2>&1 && return
    if grep -q 'No space left' "$log"; then
        stop "The disk is full: the course needs about 1.5 GB here. Make room, then try again"
    elif ! PIP_RETRIES=0 "$python" -m pip index versions pip >/dev/null 2>&1; then
        stop "No network: pip reaches no package index. Connect, then try again (details: $log)"
    fi
    stop "pip could not install the packages: $(grep -m 1 'ERROR: ' "$log" | sed 's/^ *//') (details: $log)"
}

if works; then
    [ "$(cat "$venv/ready")" != "$wanted" ] || exit 0
    say "Updating $venv ..."
    rm "$venv/ready"
else
    find_python "$@"
    say "Setting up $venv with Python $number: once, a few minutes, about 1.5 GB ..."
    rm -rf "$venv"
    problem=$("$found" -m venv "$venv" 2>&1) ||
        stop "Python $number ($found) cannot make $venv: $(echo "$problem" | tail -n 1)"
fi
install
# As pip does, but on all cores, and without the packages' own tests. What is not compiled here is compiled on import.
"$python" -m compileall -qq -j 0 -x '/tests/' "$venv/lib" >>"$log" 2>&1
echo "$wanted" >"$venv/ready"
