#!/bin/sh
# Makes a Debian package in target/dist of the files that scripts/dist.sh has put there; VERSION is another version than that of skep.
set -eu
cd "$(dirname "$0")/.."

# cargo-deb takes its files from a folder whose name has no version in it.
tree=$(find target/dist -mindepth 1 -maxdepth 1 -type d -name 'skep-*')
rm -rf target/dist/deb
cp -a "$tree" target/dist/deb
# dpkg has sums of its own, and Debian's zsh looks elsewhere.
rm target/dist/deb/share/doc/skep/SHA256SUMS target/dist/deb/share/doc/skep/skep.env
mv target/dist/deb/share/zsh/site-functions target/dist/deb/share/zsh/vendor-completions
cargo_deb=$(sh scripts/cargo-tool.sh cargo-deb 3.8.0)
"$cargo_deb" -p skep-cli --no-build --no-strip ${VERSION:+--deb-version "$VERSION"} -o "target/dist/" >&2
(cd target/dist && sha256sum ./*.tar.gz ./*.deb | sed 's|\./||' >SHA256SUMS)
ls target/dist/*.deb
