#!/bin/sh
# Whether disks of the tests' own can be mounted here; if not, it prints why.
not() { echo "Disks of the tests' own cannot be mounted here ($1)"; exit 1; }

[ "$(uname -s)" = Linux ] || not "only Linux has them"
[ "$(id -u)" = 0 ] || not "only root may mount"
[ -c /dev/fuse ] || not "/dev/fuse is missing"
command -v fusermount3 >/dev/null || command -v fusermount >/dev/null || not "fusermount3 is missing"
