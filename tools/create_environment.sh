#!/bin/sh
# Makes the virtual environment $1 with a Python that fits, $2 when one is named.
# An environment that fits already is kept; one made with another Python is made anew.
set -eu
venv=$1
wanted=${2:-}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

can_make_environments() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

if [ -z "$wanted" ] && fits "$venv/bin/python" && "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    exit 0
fi

unable=
for candidate in ${wanted:-python3.13 python3.12 python3.11 python3 python}; do
    fits "$candidate" || continue
    if can_make_environments "$candidate"; then
        echo "making $venv with $("$candidate" --version) ($candidate)"
        exec "$candidate" -m venv --clear "$venv"
    fi
    unable=${unable:-$candidate}
done

if [ -n "$unable" ]; then
    echo "$unable cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)," >&2
elif [ -n "$wanted" ]; then
    echo "PYTHON=$wanted does not run, or is not Python 3.11, 3.12 or 3.13," >&2
else
    echo "no Python 3.11, 3.12 or 3.13 found (the Iggy client has no build for 3.14 yet): install one," >&2
fi
echo "or name another one: make PYTHON=/path/to/python3.13 ..." >&2
exit 1
