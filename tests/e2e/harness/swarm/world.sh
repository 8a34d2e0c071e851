#!/bin/sh
# Network, mounts and processes in which engines of tests live: all of it ends with STDIN, or when this process is killed.
#
#   sh world.sh hold FOLDER CGROUP        until STDIN is closed; FOLDER/world is the process whose namespaces are the world
#   sh world.sh node FOLDER CGROUP N      in the world: engine N, at FOLDER/nodeN.sock and 10.200.0.N
set -eu
what=$1 folder=$2 cgroup=$3

hold() {
    trap '' INT TERM
    setpriv --pdeathsig KILL unshare --net --mount --pid --uts --ipc --fork --kill-child \
        sh "$0" inside "$folder" "$cgroup" </dev/null &
    world=$!
    cat >/dev/null
    kill -9 $world 2>/dev/null || true
    wait $world 2>/dev/null || true
    # Namespaces take their mounts, devices and processes with them; only these are left.
    for _ in $(seq 300); do
        find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
        [ -n "$(find /sys/fs/cgroup -maxdepth 2 -name "$cgroup*" 2>/dev/null)" ] || break
        sleep 0.2
    done
    rm -rf "$folder"
}

inside() {
    # As those outside see it, because /proc is still theirs.
    read -r pid _ </proc/self/stat
    mount -t proc proc /proc
    mount -t tmpfs tmpfs /run
    ip link set lo up
    ip link add br0 type bridge
    ip address add 10.200.0.254/24 dev br0
    ip link set br0 up
    # A request for a name or a registry is refused each time, without a wait.
    echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
    echo "$pid" >"$folder/world.new"
    mv "$folder/world.new" "$folder/world"
    exec sleep infinity
}

node() {
    ip netns add "node$1"
    ip link add "node$1" type veth peer name eth0 netns "node$1"
    ip link set "node$1" master br0 up
    ip -n "node$1" link set lo up
    ip -n "node$1" address add "10.200.0.$1/24" dev eth0
    ip -n "node$1" link set eth0 up
    ip -n "node$1" route add default via 10.200.0.254
    exec setpriv --pdeathsig KILL nsenter "--net=/run/netns/node$1" \
        unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc sh "$0" engine "$folder" "$cgroup" "$1"
}

engine() {
    hostname "node$1"
    # The engine's places are its own, in memory; it has the usual paths, since containers are given its socket.
    for place in /run /var/lib/docker /etc/docker; do
        mkdir -p "$place"
        mount -t tmpfs tmpfs "$place"
    done
    # There is nobody outside to know names.
    echo 'nameserver 10.200.0.254' >/run/resolv.conf
    mount --bind /run/resolv.conf /etc/resolv.conf
    driver=overlay2
    mkdir -p /run/try/lower /run/try/upper /run/try/work /run/try/merged
    mount -t overlay overlay -o lowerdir=/run/try/lower,upperdir=/run/try/upper,workdir=/run/try/work /run/try/merged &&
        umount /run/try/merged || driver=vfs
    # The registry is a test's own, if it starts one.
    dockerd --log-level warn -H unix:///run/docker.sock -H "unix://$folder/node$1.sock" --storage-driver "$driver" \
        --insecure-registry 10.200.0.254:5000 --cgroup-parent "/$cgroup-$1" &
    # As the first process of its namespace the shell reaps what containers leave behind.
    wait $!
}

shift 3
"$what" "$@"
