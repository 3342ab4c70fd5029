#!/bin/sh
# Finds a Python that fits and hands over to setup.py, which explains itself. PYTHON=/path/to/python chooses one.
here=$(dirname "$0")
oldest=11 newest=14 # 3.x; the lock file has wheels for these

# The quick way: nothing is left to do.
"$here/../.venv/bin/python" -I "$here/setup.py" --is-whole 2>/dev/null && exit 0

fits() {
    "$1" -c "import sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] <= (3, $newest))" >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if fits "$candidate"; then
        exec "$candidate" "$here/setup.py" "$@"
    fi
done

found=$("${PYTHON:-python3}" --version 2>/dev/null) || found="no ${PYTHON:-python3} that runs"
echo "setup: Python 3.$oldest to 3.$newest is needed and there is $found: install it (Debian, Ubuntu:" \
    "sudo apt install python3 python3-venv) or name one: make setup PYTHON=/path/to/python3.12" >&2
exit 1
