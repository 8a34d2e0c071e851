#!/bin/sh
# Whether the programs of Debian are here that some tests run as sources or build functions with; if not, it prints what is missing.
missing() { echo "$1 is missing here (apt-get install postgresql python3-psycopg2 inotify-tools golang-go nodejs)"; exit 1; }
command -v psql >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing PostgreSQL
command -v inotifywait >/dev/null || missing inotifywait
command -v go >/dev/null || missing go
command -v node >/dev/null || missing node
/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || missing psycopg2
