#!/bin/sh
# Prints the path of a cargo tool, built once into the cache folder: cargo-tool.sh NAME VERSION [FLAG OF cargo install].
set -eu

name=$1 version=$2 flag=${3:-}
folder=${XDG_CACHE_HOME:-$HOME/.cache}/skep/$name-$version

if [ ! -x "$folder/bin/$name" ]; then
    echo "building $name $version into $folder, once" >&2
    # Its target folder is its own, or it would take the place of skep's. A debug build needs no debug info.
    env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 "${CARGO:-cargo}" install $flag --quiet --locked --version "$version" --root "$folder" "$name" >&2
fi
echo "$folder/bin/$name"
