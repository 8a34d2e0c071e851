#!/bin/sh
# STDIN is the body of the request, STDOUT the answer. An exit code other than 0 makes it a failure (500).
# Headers, path and query are variables: Http_X_Github_Event, Http_Path, Http_Query (docs/functions.md).
set -eu

body=$(cat)
echo "hello ${body:-nobody}, from @NAME@"
