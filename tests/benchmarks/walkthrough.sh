#!/bin/sh
# The article's walkthrough as a person would script it: one ssh or docker command after the other, one node at a time.
# Usage: walkthrough.sh TESTBED. The testbed is up and fresh; what this makes is what notebooks 00 to 06 make.
# It is the yardstick of walkthrough.py; it checks no more than that its commands work.
set -eu
testbed=$1
nodes="node1 node2 node3 node4"
runbook() { "${RUNBOOK:-./runbook}" "$@"; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for node in $nodes; do
    runbook testbed env --name "$testbed" "$node" > "$folder/$node.env"
    runbook testbed status --name "$testbed" --json > "$folder/status.json"
done
inventory=${STATE:-/var/lib/overlay-runbook}/$testbed/inventory.yaml
field() { sed -n "/name: $1\$/,/name: node/s/.*$2: \([^,}]*\).*/\1/p" "$inventory" | head -1; }

on() { # NODE COMMAND…
    node=$1; shift
    ssh -q -i "$(field "$node" key_file)" -o UserKnownHostsFile="$(field "$node" known_hosts)" \
        -o ConnectTimeout=2 "docker@$(field "$node" host)" "$@"
}
dock() { # NODE ARGUMENTS…
    node=$1; shift
    ( . "$folder/$node.env"; docker "$@" )
}
answers() { dock "$1" version > "$folder/out" 2>&1; }
restart() {
    for node in $nodes; do
        on "$node" sudo reboot || true
        tries=0
        sleep 1
        until answers "$node"; do tries=$((tries + 1)); [ "$tries" -lt 600 ]; sleep 0.2; done
    done
}
until_true() {
    tries=0
    until "$@" > "$folder/out" 2>&1; do tries=$((tries + 1)); [ "$tries" -lt 600 ]; sleep 0.2; done
}

echo "00 meet the cluster"
for node in $nodes; do
    on "$node" ip addr show eth1 > "$folder/out"
    on "$node" 'pgrep -a udhcpc || true' > "$folder/out"
    dock "$node" version > "$folder/out"
    dock "$node" info > "$folder/out"
    on "$node" date > "$folder/out"
    for peer in $nodes; do
        [ "$node" = "$peer" ] && continue
        address=$(field "$peer" cluster_address)
        for port in 2376 2379 7946; do on "$node" "nc -z -w 1 $address $port || true"; done
        on "$node" "nc -z -u -w 1 $address 4789 || true"
    done
done

echo "01 fix node IPs"
restart
for node in $nodes; do
    on "$node" ip addr show eth1 > "$folder/out"
    address=$(field "$node" cluster_address)
    on "$node" "sudo arping -D -c 2 -w 2 -I eth1 $address || true" > "$folder/out"
    printf '%s\n' '[ -f /var/run/udhcpc.eth1.pid ] && kill $(cat /var/run/udhcpc.eth1.pid)' \
        "ifconfig eth1 $address netmask 255.255.255.0 broadcast ${address%.*}.255 up" |
        on "$node" 'sudo tee /var/lib/boot2docker/bootsync.sh' > "$folder/out"
done
restart
for node in $nodes; do
    on "$node" ip addr show eth1 > "$folder/out"
    on "$node" 'pgrep -a udhcpc || true' > "$folder/out"
    answers "$node"
done

echo "02 autostart etcd"
member=0
for node in node1 node2 node3; do member=$((member + 1)); dock "$node" start "etcd$member" > "$folder/out"; done
for node in node1 node2 node3; do
    until_true on "$node" "busybox wget -qO- http://$(field "$node" cluster_address):2379/health"
done
restart
for node in $nodes; do
    dock "$node" ps -a > "$folder/out"
    printf '%s\n' 'sleep 5' '/usr/local/bin/docker start etcd1 etcd2 etcd3' |
        on "$node" 'sudo tee /var/lib/boot2docker/bootlocal.sh' > "$folder/out"
done
restart
for node in node1 node2 node3; do
    until_true on "$node" "busybox wget -qO- http://$(field "$node" cluster_address):2379/health"
done

echo "03 create the overlay"
until_true dock node1 network create --driver=overlay --subnet=10.0.0.0/24 ovr0
for node in $nodes; do until_true dock "$node" network inspect ovr0; done

echo "04 run containers"
dock node3 run -dti --name alpine1 --net ovr0 alpine /bin/sh > "$folder/out"
dock node4 run -dti --name alpine2 --net ovr0 alpine /bin/sh > "$folder/out"
for node in $nodes; do dock "$node" ps -a > "$folder/out"; dock "$node" network inspect ovr0 > "$folder/out"; done

echo "05 ping tests"
address() { dock "$1" inspect --format '{{.NetworkSettings.Networks.ovr0.IPAddress}}' "$2"; }
one=$(address node3 alpine1)
two=$(address node4 alpine2)
ping_all() {
    dock node3 exec alpine1 ping -c 3 alpine2 > "$folder/out"
    dock node4 exec alpine2 ping -c 3 alpine1 > "$folder/out"
    dock node3 exec alpine1 ping -c 3 "$two" > "$folder/out"
    dock node4 exec alpine2 ping -c 3 "$one" > "$folder/out"
}
ping_all
for node in $nodes; do dock "$node" network ls > "$folder/out"; done
dock node3 exec alpine1 ping -c 20 -i 0.1 "$two" > "$folder/out"
on node3 cat /proc/net/dev > "$folder/out"
dock node3 exec alpine1 ping -c 20 -i 0.1 "$(field node1 cluster_address)" > "$folder/out"
on node3 cat /proc/net/dev > "$folder/out"

echo "06 disconnect and connect"
dock node3 exec alpine1 ip addr > "$folder/out"
dock node3 network disconnect ovr0 alpine1
dock node3 exec alpine1 ip addr > "$folder/out"
dock node4 exec alpine2 ping -c 3 alpine1 > "$folder/out" 2>&1 || true
dock node4 exec alpine2 ping -c 3 -W 1 "$one" > "$folder/out" 2>&1 || true
dock node3 network connect ovr0 alpine1
until_true dock node4 exec alpine2 ping -c 1 -W 1 alpine1
one=$(address node3 alpine1)
dock node3 exec alpine1 ip addr > "$folder/out"
ping_all
echo done
