#!/bin/sh
# Makes a virtual environment with gan_lib (editable), its extras, and the versions a constraints file names.
#
#   sh .ci/setup.sh VENV CONSTRAINTS [--site] [PYTHON ...]    from the repository root; PYTHON in the environment overrides
#
# --site: with what builds the site. What VENV once had of it, it keeps.
#
# Prints nothing on standard output when VENV is ready, else one line that says what to do (the Makefile stops with it).
# VENV/ready, written last, says what VENV was made from. Without it VENV is made afresh: an interrupted pip leaves
# packages behind that look installed. It is written when all that the course imports was imported from VENV.

# PYTHONHOME, PYTHONPATH, PYTHONWARNINGS and the like are for other programs. (No value is read: only names are taken.)
unset $(env | sed -n 's/^\(PYTHON[A-Z0-9_]\{1,\}\)=.*/\1/p') 2>/dev/null

venv=$1 constraints=$2 old='' said='' tries=0
shift 2
extras=lab,test
if [ "$1" = --site ] || [ "$(tail -n 1 "$venv/ready" 2>/dev/null)" = lab,test,site ]; then
    extras=lab,test,site
fi
[ "$1" != --site ] || shift
[ -z "$PYTHON" ] || set -- "$PYTHON"
python=$venv/bin/python
log=$venv/setup.log
lock=$venv.lock # a link to the number of the process that sets up VENV: a link is made whole, or not at all
here=$(pwd -P)
wanted="$here
$(cat pyproject.toml "$constraints" .ci/install.py | cksum)
$extras"

stop() {
    [ -z "$said" ] || [ ! -t 2 ] || printf '\033[A\033[2K' >&2 # on a terminal, the problem replaces the progress
    printf '%s\n' "$*" # echo may read a backslash as more than one
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

ready() { # nothing is to be done
    works && [ "$(cat "$venv/ready")" = "$wanted" ]
}

version='import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))'

alone() { # waits until no other set-up of VENV runs, and keeps others waiting until this one ends
    until ln -s $$ "$lock" 2>/dev/null; do
        tries=$((tries + 1))
        if other=$(readlink "$lock") && [ "$other" != $$ ] && kill -0 "$other" 2>/dev/null; then
            [ -n "$said" ] || say "Process $other sets up $venv: waiting for it ..."
            [ $tries -lt 1800 ] || stop "Process $other has set up $venv for half an hour: end it, or delete $lock if it" \
                "does something else, then try again"
            sleep 1
        elif [ -L "$lock" ]; then # it was killed
            rm -f "$lock"
        elif [ $tries -gt 9 ]; then # no link can be made here: what follows says why, or does without
            return
        fi
    done
    trap 'rm -f "$lock"' EXIT
    trap 'exit 1' HUP INT TERM
}

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

ready && exit
alone
ready && exit # the other set-up has made it
if works; then
    say "Updating $venv ..."
    rm "$venv/ready"
else
    find_python "$@"
    say "Setting up $venv with Python $number: once, a few minutes, about 1.5 GB ..."
    rm -rf "$venv"
    problem=$("$found" -m venv "$venv" 2>&1) ||
        stop "Python $number ($found) cannot make $venv: $(echo "${problem:-it ended without a word}" | tail -n 1)"
fi
problem=$("$python" -I .ci/install.py "$constraints" "$log" "$extras") ||
    stop "${problem:-The set-up of $venv was interrupted: start it again}"
# As pip does, but on all cores, and without the packages' own tests. What is not compiled here is compiled on import.
"$python" -m compileall -qq -j 0 -x '/tests/' "$venv/lib" >>"$log" 2>&1
echo "$wanted" >"$venv/ready" || stop "$venv/ready cannot be written: make room or give leave there, then try again"
