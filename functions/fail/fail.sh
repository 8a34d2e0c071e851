#!/bin/sh
# fail: says why on STDERR and exits with the code given on STDIN (default 1).

export LC_ALL=C

code=$(tr -d '\000\r')
code=${code:-1}

case $code in
    *[!0-9]* | ????*) code=refused ;;
    *) [ "$code" -le 255 ] || code=refused ;;
esac
if [ "$code" = refused ]; then
    echo "fail: STDIN must be an exit code from 0 to 255" >&2
    exit 1
fi

# Code 0 is for the second try: a dead call that is edited and sent again can succeed.
echo "fail: exit code $code, as asked for" >&2
exit "$code"
