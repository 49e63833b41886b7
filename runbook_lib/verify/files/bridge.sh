# Counts packets on every interface that could carry a container's traffic, before and after each kind of traffic.
#
# usage (as root): sh -s PID NETWORK_ID PEER OUTSIDE PACKETS
#
# Prints /proc/net/dev three times (before, after pinging PEER, after pinging OUTSIDE), framed by lines
# "#>> WHEN PLACE" and "#<<"; PLACE is node, overlay (the overlay's hidden namespace) or container.
# Then the container's addresses and routes, and the output of both pings, framed alike.
# What finds the hidden namespace, hidden_namespace, stands before this text (facts/hidden_namespace.py).
pid=$1
network=$2
peer=$3
outside=$4
packets=$5
export LC_ALL=C

hidden=$(hidden_namespace "$network")

frame() {
    echo "#>> $1 $2"
    shift 2
    "$@" 2>&1
    echo "#<<"
}

in_container() { nsenter "--net=/proc/$pid/ns/net" "$@" </dev/null; }

count() {
    frame "$1" node cat /proc/net/dev
    frame "$1" overlay nsenter "--net=$hidden" cat /proc/self/net/dev
    frame "$1" container in_container cat /proc/self/net/dev
}

# What the container sends; docker_gwbridge has everybody's packets.
sent_packets() {
    in_container cat /proc/self/net/dev | sed '1,2d;s/:/ /' | {
        sent=0
        while read -r name _ _ _ _ _ _ _ _ _ out _; do
            [ "$name" = lo ] || sent=$((sent + out))
        done
        echo "$sent"
    }
}

# What the container asked outside just before, a name that nobody knew for one, is asked again for some seconds.
wait_for_quiet() {
    last=$(sent_packets)
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 1
        now=$(sent_packets)
        [ "$((now - last))" -gt 2 ] || return 0
        last=$now
    done
}

# an old busybox has no -i and sends one a second
pace="-i 0.05"
# shellcheck disable=SC2086 # two words
in_container ping $pace -c 1 -W 1 127.0.0.1 >/dev/null 2>&1 || pace=

# shellcheck disable=SC2086 # none or two words
send() { in_container ping $pace -c "$packets" -W 1 "$1"; }

frame facts addresses in_container ip -o -4 addr show
frame facts routes in_container ip route show
wait_for_quiet
count before
frame east-west ping send "$peer"
count between
frame north-south ping send "$outside"
count after
