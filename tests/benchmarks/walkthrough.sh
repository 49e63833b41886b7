#!/usr/bin/env bash
# The walkthrough of notebooks 00 to 06 as an experienced person would script it: the same ssh and docker commands, one
# after the other (but where a restart or a start of all nodes together is what the article is about). The yardstick of walkthrough.py. A command that fails ends it; every wait is bounded, and nothing
# sleeps but between two looks at something that is not there yet.
#
# usage: walkthrough.sh NODES
#
# NODES has a line a node, four of them: name, ssh host, address on the cluster's network, key file, known_hosts.
# The cluster is a new one: etcd1 to etcd3 were made on the first three nodes and do not run, boot scripts are empty.
set -euo pipefail

declare -A host cluster key known
nodes=()
while read -r name where address key_file known_hosts; do
    nodes+=("$name")
    host[$name]=$where cluster[$name]=$address key[$name]=$key_file known[$name]=$known_hosts
done < "$1"
stores=("${nodes[@]:0:3}")
first=${nodes[2]}
second=${nodes[3]}

PATIENCE=60

say() { echo "== $SECONDS s: $*"; }

ssh_to() { # NODE [COMMAND…], with the caller's standard input
    local node=$1
    shift
    ssh -q -o BatchMode=yes -o ConnectTimeout=1 -i "${key[$node]}" -o UserKnownHostsFile="${known[$node]}" \
        "docker@${host[$node]}" "$@"
}

on() { ssh_to "$@" < /dev/null; }

until_true() { # COMMAND…
    local started=$SECONDS
    until "$@"; do
        if [ $((SECONDS - started)) -ge "$PATIENCE" ]; then
            echo "still not so after $PATIENCE s: $*" >&2
            return 1
        fi
        sleep 0.2
    done
}

started() { on "$1" "cut -d' ' -f22 /proc/1/stat"; }

is_back() { # NODE START-OF-THE-BOOT-BEFORE
    local now
    now=$(started "$1") && [ "$now" != "$2" ] && on "$1" docker version
}

go_down() { # NODE; ssh says 255 when the node hangs up before the command has ended
    on "$1" sudo reboot || [ $? -eq 255 ]
}

restart_one_by_one() {
    local node before
    for node in "$@"; do
        before=$(started "$node")
        go_down "$node"
        until_true is_back "$node" "$before"
    done
}

restart_all() {
    local -A before
    local node
    for node in "${nodes[@]}"; do before[$node]=$(started "$node"); done
    for node in "${nodes[@]}"; do go_down "$node"; done
    for node in "${nodes[@]}"; do until_true is_back "$node" "${before[$node]}"; done
}

addresses() {
    local node
    for node in "${nodes[@]}"; do on "$node" "ip addr show eth1; pgrep -a udhcpc || true"; done
}

ports_from() { # NODE
    local node peers=
    for node in "${nodes[@]}"; do [ "$node" = "$1" ] || peers+=" ${cluster[$node]}"; done
    on "$1" "for peer in $peers; do for port in 2376 2379 7946; do
        if timeout 1 bash -c \"</dev/tcp/\$peer/\$port\" 2> /dev/null; then echo \"\$peer \$port open\"; else echo \"\$peer \$port closed\"; fi
    done; done"
}

# An engine whose store has one member and so no quorum hangs for most of a minute in "docker start". Who knows that
# starts the members together: here by hand, and at boot once the engines of all of them are up.
start_members() {
    local number starts=()
    for number in 1 2 3; do
        on "${stores[number - 1]}" docker start "etcd$number" &
        starts+=($!)
    done
    for number in "${starts[@]}"; do wait "$number"; done
}

start_at_boot() { # NODE CONTAINER
    local node engines=
    for node in "${stores[@]}"; do engines+=" ${cluster[$node]}"; done
    ssh_to "$1" sudo tee /var/lib/boot2docker/bootlocal.sh <<EOF
for engine in $engines; do
    for try in \$(seq 300); do
        if timeout 1 bash -c "</dev/tcp/\$engine/2376" 2> /dev/null; then break; fi
        sleep 0.2
    done
done
docker start $2
EOF
}

health() { on "$1" "timeout 2 wget -qO- http://${cluster[$1]}:2379/health && echo"; }

say "00 meet the cluster"
addresses
for node in "${nodes[@]}"; do
    on "$node" docker version
    on "$node" docker info
    on "$node" docker ps -a
    on "$node" date +%s.%N
    on "$node" ip route
    ports_from "$node"
done

say "01 fix node IPs: the nodes restart in another order"
addresses
restart_one_by_one "${nodes[3]}" "${nodes[2]}" "${nodes[1]}" "${nodes[0]}"
addresses
for node in "${nodes[@]}"; do
    on "$node" sudo arping -D -c 1 -w 1 -I eth1 "${cluster[$node]}"
    # shellcheck disable=SC2016 # the process number is read at boot
    printf '%s\n' 'if [ -f /var/run/udhcpc.eth1.pid ]; then kill $(cat /var/run/udhcpc.eth1.pid); fi' \
        'ip addr flush dev eth1' "ip addr add ${cluster[$node]}/24 broadcast + dev eth1" 'ip link set eth1 up' |
        ssh_to "$node" sudo tee /var/lib/boot2docker/bootsync.sh
done
restart_one_by_one "${nodes[1]}" "${nodes[3]}" "${nodes[0]}" "${nodes[2]}"
addresses
for node in "${nodes[@]}"; do on "$node" docker version; done

say "02 autostart etcd"
start_members
for node in "${stores[@]}"; do until_true health "$node"; done
restart_all
for node in "${nodes[@]}"; do on "$node" docker ps -a; done
for number in 1 2 3; do start_at_boot "${stores[number - 1]}" "etcd$number"; done
restart_all
for node in "${stores[@]}"; do until_true health "$node"; done

say "03 create the overlay"
until_true on "${nodes[0]}" docker network create --driver=overlay --subnet=10.0.0.0/24 ovr0
for node in "${nodes[@]}"; do until_true on "$node" docker network inspect ovr0; done

say "04 run containers"
on "$first" docker run -dti --name alpine1 --net ovr0 alpine /bin/sh
on "$second" docker run -dti --name alpine2 --net ovr0 alpine /bin/sh
for node in "${nodes[@]}"; do
    on "$node" docker ps -a
    on "$node" docker network inspect ovr0
done

address_of() { # NODE CONTAINER
    on "$1" docker inspect --format "'{{.NetworkSettings.Networks.ovr0.IPAddress}}'" "$2"
}

ping_both_ways() {
    local one two
    one=$(address_of "$first" alpine1)
    two=$(address_of "$second" alpine2)
    on "$first" docker exec alpine1 ping -c 3 alpine2
    on "$second" docker exec alpine2 ping -c 3 alpine1
    on "$first" docker exec alpine1 ping -c 3 "$two"
    on "$second" docker exec alpine2 ping -c 3 "$one"
}

say "05 ping tests"
until_true on "$first" docker exec alpine1 ping -c 1 -W 1 alpine2
ping_both_ways
for node in "${nodes[@]}"; do on "$node" docker network ls; done
on "$first" cat /proc/net/dev
on "$first" docker exec alpine1 ping -c 20 -i 0.05 alpine2
on "$first" cat /proc/net/dev
on "$first" docker exec alpine1 ping -c 20 -i 0.05 "${cluster[$second]}"
on "$first" cat /proc/net/dev

say "06 disconnect and connect"
left=$(address_of "$first" alpine1)
on "$first" docker exec alpine1 ip addr
on "$first" docker network disconnect ovr0 alpine1
on "$first" docker exec alpine1 ip addr
for target in alpine1 "$left"; do
    if on "$second" docker exec alpine2 ping -c 3 -W 1 "$target"; then
        echo "$target still answers" >&2
        exit 1
    fi
done
on "$first" docker network connect ovr0 alpine1
until_true on "$second" docker exec alpine2 ping -c 1 -W 1 alpine1
on "$first" docker exec alpine1 ip addr
ping_both_ways
say "done"
