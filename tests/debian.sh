#!/bin/sh
# Whether the programs of Debian are here that some tests run as sources; if not, it prints what is missing.
missing() { echo "$1 is missing here (apt-get install postgresql python3-psycopg2 inotify-tools)"; exit 1; }
command -v psql >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing PostgreSQL
command -v inotifywait >/dev/null || missing inotifywait
/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || missing psycopg2
