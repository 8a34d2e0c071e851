#!/bin/sh
# Makes target/dist/skep-VERSION-linux-ARCH.tar.gz, which is unpacked into /usr/local, of the programs in PROGRAMS (target/release).
set -eu
cd "$(dirname "$0")/.."

programs=${PROGRAMS:-target/release}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
name=skep-$version-linux-$(uname -m)
tree=target/dist/$name
nats_server=$(sh scripts/nats-server.sh pinned)

rm -rf target/dist
mkdir -p "$tree/bin" "$tree/lib/skep" "$tree/lib/systemd/system" "$tree/lib/sysusers.d"
install -m 755 "$programs/skep" "$tree/bin/skep"
install -m 755 "$programs/fwatchdog" "$nats_server" "$tree/lib/skep"
# Without debug information, which only developers need; a release build has none.
strip --strip-debug "$tree/bin/skep" "$tree/lib/skep/fwatchdog"
install -m 644 deploy/package/skep.service "$tree/lib/systemd/system/skep.service"
install -m 644 deploy/package/skep.sysusers "$tree/lib/sysusers.d/skep.conf"

share=$tree/share
mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d" "$share/doc/skep/sbom"
"$tree/bin/skep" completions bash >"$share/bash-completion/completions/skep"
"$tree/bin/skep" completions zsh >"$share/zsh/site-functions/_skep"
"$tree/bin/skep" completions fish >"$share/fish/vendor_completions.d/skep.fish"
"$tree/bin/skep" man "$share/man/man1" >&2
gzip -9n "$share"/man/man1/*.1

doc=$share/doc/skep
install -m 644 README.md CHANGELOG.md LICENSE deploy/package/skep.env deploy/package/nats-server-licences.txt "$doc"
python3 scripts/licences.py "$doc/licences.txt" "$nats_server"
sh scripts/sbom.sh >&2
install -m 644 target/sbom/*.json "$doc/sbom"

# The same files make the same archive.
(cd "$tree" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | sed 's|^\./||' | xargs sha256sum >share/doc/skep/SHA256SUMS)
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
    -C target/dist -cf - "$name" | gzip -9n >"target/dist/$name.tar.gz"
(cd target/dist && sha256sum "$name.tar.gz" >SHA256SUMS)
echo "target/dist/$name.tar.gz"
