# Counts UDP probes where they leave this node's firewall towards its sockets, for a moment.
#
# usage (as root): sh -s start CHAIN SECONDS LENGTH SOURCE:PORT ...
#                  sh -s stop  CHAIN
#
# The rules stand in a chain of their own that only counts. They match by LENGTH (of the IP packet), which no real
# packet of these ports has. The table is one whose input hook comes after the filter: what a firewall dropped is not
# counted, whoever owns the port. A watchdog removes the chain after SECONDS in case nobody comes back to do it.
#
# "start" prints "counting TABLE" or "cannot REASON"; "stop" prints the chain with its counters and removes it.
mode=$1
chain=$2
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

remove() {
    for table in security nat; do
        iptables -w 5 -t "$table" -D INPUT -p udp -j "$chain" 2>/dev/null
        iptables -w 5 -t "$table" -F "$chain" 2>/dev/null
        iptables -w 5 -t "$table" -X "$chain" 2>/dev/null
    done
}

fill() {
    iptables -w 5 -t "$table" -N "$chain" || return 1
    for pair; do
        iptables -w 5 -t "$table" -A "$chain" -s "${pair%:*}" -p udp --dport "${pair#*:}" \
            -m length --length "$length" || return 1
    done
    iptables -w 5 -t "$table" -I INPUT -p udp -j "$chain"
}

if [ "$mode" = stop ]; then
    for table in security nat; do
        iptables -w 5 -t "$table" -nvxL "$chain" 2>/dev/null
    done
    remove
    exit 0
fi

seconds=$3
length=$4
shift 4
trap remove HUP INT TERM
(
    trap '' HUP
    sleep "$seconds"
    remove
) >/dev/null 2>&1 </dev/null &
for table in security nat; do
    if trouble=$(fill "$@" 2>&1); then
        echo "counting $table"
        exit 0
    fi
    remove
done
echo "cannot $trouble"
