#!/bin/sh
# Prints where axe-core is, which looks for barriers in pages, if there is a browser for the tests too; if not, it prints what is missing.
set -u
folder=${1:-target/axe}
for program in chromium chromedriver; do
    command -v $program >/dev/null || { echo "$program is missing here (apt-get install chromium chromium-driver)"; exit 1; }
done
found=$folder/axe_playwright_python/axe.min.js
if [ ! -e "$found" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # axe-core 4.12.1 is a file of this package.
    echo 'axe-playwright-python==0.1.8 --hash=sha256:fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8' >"$work/wanted"
    # Debian's Python has pip only in a virtual environment.
    pip="python3 -m pip"
    $pip --version >/dev/null 2>&1 || { python3 -m venv "$work/venv" >/dev/null 2>&1 && pip=$work/venv/bin/pip; }
    $pip download --quiet --no-deps --only-binary=:all: --require-hashes -r "$work/wanted" -d "$work" >/dev/null 2>&1 &&
        python3 -m zipfile -e "$work"/*.whl "$folder" || { echo "axe-core cannot be fetched with pip"; exit 1; }
fi
echo "$PWD/$found"
