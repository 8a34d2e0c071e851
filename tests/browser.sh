#!/bin/sh
# Whether there is a browser for the tests here; if not, it prints why.
command -v chromium >/dev/null || { echo "Chromium is missing here (apt-get install chromium)"; exit 1; }
