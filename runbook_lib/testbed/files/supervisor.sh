#!/bin/sh
# Keeps one node: wires it, runs it, and does both again when it reboots.
# usage: supervisor.sh FOLDER, with the node's settings in FOLDER/supervisor.env
set -u
cd "$1" || exit 3
# shellcheck source=/dev/null
. ./supervisor.env
node=
stopping=no
trap switch_off TERM

# Shuts the node down in order: what its own shutdown script does, then the end of its process 1.
switch_off() {
    stopping=yes
    if [ -z "$node" ]; then return; fi
    # Only a process that is number 1 in its own namespace is the node; while nspawn still prepares, it is not.
    inner=$(cut -d' ' -f1 "/proc/$node/task/$node/children")
    if [ "$PLATFORM" = debian ]; then
        switch_off_systemd "$inner"
    elif [ -n "$inner" ] &&
        grep -q '^NSpid:.*[[:space:]]1$' "/proc/$inner/status" &&
        nsenter --target "$inner" --mount --uts --ipc --net --pid /etc/rc.d/shutdown; then
        kill -KILL "$inner"
    else
        kill -TERM "$node"
    fi
}

# Asks systemd to power off (SIGRTMIN+4) until it has: one that has only begun to boot may not hear it.
switch_off_systemd() {
    while [ -n "$1" ] && kill -38 "$1" 2>/dev/null; do
        tries=10
        while [ "$tries" -gt 0 ] && kill -0 "$1" 2>/dev/null; do
            tries=$((tries - 1))
            sleep 0.1
        done
    done
    if [ -z "$1" ]; then kill -TERM "$node"; fi
}

# Prints a process's id and start time, which together name it for ever.
identity() {
    pid=$1
    read -r stat <"/proc/$pid/stat"
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    shift 19
    echo "$pid $1"
}

# A cgroup of the node's own in every hierarchy that lets us, below the one we are in.
join_cgroups() {
    : >cgroups
    while IFS=: read -r id controllers path; do
        case $id:$controllers in
        0:) if [ -f /sys/fs/cgroup/cgroup.procs ]; then base=/sys/fs/cgroup; else base=/sys/fs/cgroup/unified; fi ;;
        *:name=*) base=/sys/fs/cgroup/${controllers#name=} ;;
        *) base=/sys/fs/cgroup/$controllers ;;
        esac
        parent=$base${path%/}
        group=$parent/$CGROUP
        mkdir "$group" 2>/dev/null || [ -d "$group" ] || continue
        echo "$group" >>cgroups
        for inherited in cpuset.cpus cpuset.mems; do
            if [ -f "$group/$inherited" ]; then cat "$parent/$inherited" >"$group/$inherited"; fi
        done
        echo $$ >"$group/cgroup.procs"
    done </proc/self/cgroup
}

# Links die with the node's memory, as RAM does: a boot begins without addresses or firewall rules.
wire() {
    unwire
    cluster_state=up
    if [ -e cut.cluster ]; then cluster_state=down; fi
    management_state=up
    if [ -e cut.management ]; then management_state=down; fi
    ip netns add "$NAMESPACE" || return
    ip -n "$SWITCH" -batch - <<END || return
link add name $MANAGEMENT_PORT type veth peer name eth0 address $MANAGEMENT_MAC netns $NAMESPACE
link add name $CLUSTER_PORT type veth peer name eth1 address $CLUSTER_MAC netns $NAMESPACE
link set $MANAGEMENT_PORT master management $management_state
link set $CLUSTER_PORT master cluster $cluster_state
END
    # An address that belongs to nobody is given up after 0.15 s instead of 3 s: while it boots, dockerd
    # asks every member of its store some twenty times.
    ip -n "$NAMESPACE" -batch - <<END
link set lo up
link set eth0 up
addr add $MANAGEMENT_ADDRESS dev eth0
ntable change name arp_cache dev eth1 retrans 50
END
}

unwire() {
    ip -n "$SWITCH" link del "$MANAGEMENT_PORT" 2>/dev/null
    ip -n "$SWITCH" link del "$CLUSTER_PORT" 2>/dev/null
    ip netns del "$NAMESPACE" 2>/dev/null
}

# A boot2docker host: its root is in memory, two folders are its disk.
start_boot2docker() {
    echo starting >boot2docker/log/boot.status
    SYSTEMD_NSPAWN_API_VFS_WRITABLE=network systemd-nspawn --quiet \
        --directory="$ROOTFS" --volatile=overlay --register=no --keep-unit --machine="$MACHINE" \
        --hostname="$NODE" --network-namespace-path="/run/netns/$NAMESPACE" \
        --capability=all --system-call-filter='@keyring bpf' --kill-signal=SIGUSR2 \
        --bind="$PWD/docker:/var/lib/docker" --bind="$PWD/boot2docker:/var/lib/boot2docker" \
        --bind="$PWD/etc-docker:/etc/docker" \
        --link-journal=no --resolv-conf=off --timezone=off --console=pipe /sbin/init </dev/null &
    node=$!
}

# A Debian host: its root is on its own disk, a layer over the tree that all nodes share. The mount ends
# with the node, for nobody but nspawn sees it.
start_debian() {
    echo starting >overlay-runbook/log/boot.status
    set -- --quiet --boot \
        --directory="$PWD/merged" --register=no --keep-unit --machine="$MACHINE" \
        --hostname="$NODE" --network-namespace-path="/run/netns/$NAMESPACE" \
        --capability=all --system-call-filter='@keyring bpf' \
        --bind="$PWD/docker:/var/lib/docker" --bind="$PWD/overlay-runbook:/var/lib/overlay-runbook" \
        --link-journal=no --resolv-conf=off --timezone=off --console=pipe
    # shellcheck disable=SC2016
    SYSTEMD_NSPAWN_API_VFS_WRITABLE=network unshare --mount --propagation private sh -c '
        mount -t overlay overlay -o "lowerdir=$1,upperdir=root,workdir=work" merged || exit
        shift
        exec systemd-nspawn "$@"' sh "$ROOTFS" "$@" </dev/null &
    node=$!
}

boot() {
    "start_$PLATFORM"
    identity "$node" >node.pid
    # A signal ends the first wait early; the node's own status comes from the last one.
    wait "$node"
    status=$?
    while kill -0 "$node" 2>/dev/null; do
        wait "$node"
        status=$?
    done
    node=
    rm -f node.pid
}

identity $$ >supervisor.pid
join_cgroups
while [ "$stopping" = no ]; do
    wire || exit 3
    if [ "$stopping" = yes ]; then break; fi
    boot
    echo "the node ended with status $status"
    # nspawn says 133 when the node asked for a reboot.
    if [ "$status" -ne 133 ]; then break; fi
done
unwire
rm -f supervisor.pid
