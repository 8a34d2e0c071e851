#!/bin/sh
# slow: sleeps for the seconds given on STDIN (default 5, at most 3600), then says so.

export LC_ALL=C

seconds=$(tr -d '\000\r')
seconds=${seconds:-5}

refuse() {
    echo "slow: STDIN must be a number of seconds from 0 to 3600" >&2
    exit 1
}

case $seconds in
    .* | *. | *[!0-9.]* | *.*.*) refuse ;;
    ?????????*) refuse ;; # too long for the comparison below
esac
whole=${seconds%%.*}
[ "$whole" -lt 3600 ] || [ "$seconds" = 3600 ] || refuse

sleep "$seconds"
echo "slept for $seconds s"
