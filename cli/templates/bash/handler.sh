#!/usr/bin/env bash
# STDIN is the body of the request, STDOUT the answer. An exit code other than 0 makes it a failure (500).
# Headers, path and query are variables: Http_X_Github_Event, Http_Path, Http_Query (docs/functions.md).
set -euo pipefail

body=$(cat)
echo "hello ${body:-nobody}, from @NAME@"
