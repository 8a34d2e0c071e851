#!/bin/sh
# Fills the root folder of an image FROM scratch: programs, and the libraries of this machine that they need.
#
#   sh scripts/image-root.sh FOLDER PROGRAM:PATH...     each program is put at its path in the folder
set -eu
root=$1
shift
for pair in "$@"; do
    program=${pair%:*} path=$root${pair##*:}
    mkdir -p "$(dirname "$path")"
    cp -L "$program" "$path"
    # Nothing is said of a program that is static.
    for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*'); do
        mkdir -p "$root$(dirname "$library")"
        cp -Lu "$library" "$root$library"
    done
done
# Names are looked up by glibc, which before 2.34 had a library for each way.
for library in $(ldconfig -p | grep -o '/.*/libnss_\(dns\|files\)\.so\.2$'); do
    mkdir -p "$root$(dirname "$library")"
    cp -Lu "$library" "$root$library"
done
# Whom to trust, for callbacks over HTTPS.
authorities=/etc/ssl/certs/ca-certificates.crt
[ -e $authorities ] || { echo "$authorities is missing: install ca-certificates" >&2; exit 1; }
mkdir -p "$root/etc/ssl/certs" "$root/tmp"
cp -L $authorities "$root$authorities"
chmod 1777 "$root/tmp"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
