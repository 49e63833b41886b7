# Counts probes on their way through this node, for a moment: what leaves it, what reaches it, what its filter lets in.
#
# usage (as root): sh -s start CHAIN SECONDS LENGTH PORTS ADDRESS...     PORTS is one word, such as "udp:4789 tcp:7946"
#                  sh -s stop  CHAIN ADDRESS...
#
# The rules stand in chains of their own that only count, and tell UDP probes by LENGTH (of the IP packet), which no
# real packet of these ports has; of TCP they count the first packet of a connection (SYN).
#     CHAIN      what passed the filter of this node, whoever owns the port (a table whose input hook comes after it)
#     CHAIN-in   what reached this node, before its routing (with its reverse-path filter) and its filter
#     CHAIN-out  what left this node, after its filter
# A watchdog removes the chains after SECONDS in case nobody comes back to do it.
#
# "start" prints "counting TABLE", with " in out" where these are counted, too; or "cannot REASON". Both print
# "rp_filtered NUMBER", the packets that the reverse-path filter dropped since boot. "stop" prints the chains with their
# counters, "route ADDRESS INTERFACE" for the way back to each address, and removes all.
mode=$1
chain=$2
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

detach() { # TABLE HOOK CHAIN
    for which in "-p udp" "-p tcp --syn"; do
        # shellcheck disable=SC2086 # some words
        iptables -w 5 -t "$1" -D "$2" $which -j "$3" 2>/dev/null
    done
    iptables -w 5 -t "$1" -F "$3" 2>/dev/null
    iptables -w 5 -t "$1" -X "$3" 2>/dev/null
}

remove() {
    detach security INPUT "$chain"
    detach nat INPUT "$chain"
    detach mangle PREROUTING "$chain-in"
    detach mangle POSTROUTING "$chain-out"
}

fill() { # TABLE HOOK CHAIN -s|-d ADDRESS...
    table=$1 hook=$2 name=$3 end=$4
    shift 4
    iptables -w 5 -t "$table" -N "$name" || return 1
    for address; do
        for port in $ports; do
            case $port in udp:*) marked="-m length --length $length" ;; *) marked= ;; esac
            # shellcheck disable=SC2086 # none or some words
            iptables -w 5 -t "$table" -A "$name" "$end" "$address" -p "${port%:*}" --dport "${port#*:}" $marked || return 1
        done
    done
    iptables -w 5 -t "$table" -I "$hook" -p udp -j "$name" && iptables -w 5 -t "$table" -I "$hook" -p tcp --syn -j "$name"
}

rp_filtered() {
    while read -r first rest; do
        if [ "$first" != TcpExt: ]; then continue; fi
        if [ -z "$titles" ]; then titles=$rest && continue; fi
        # shellcheck disable=SC2086 # a word a number
        set -- $rest
        for title in $titles; do
            if [ "$title" = IPReversePathFilter ]; then echo "rp_filtered $1"; fi
            shift
        done
    done </proc/net/netstat
}

rp_filtered
if [ "$mode" = stop ]; then
    shift 2
    for table in security nat; do iptables -w 5 -t "$table" -nvxL "$chain" 2>/dev/null; done
    for way in in out; do iptables -w 5 -t mangle -nvxL "$chain-$way" 2>/dev/null; done
    for address; do ip route get "$address" | sed -n "s/^.* dev \([^ ]*\).*/route $address \1/p"; done
    remove
    exit 0
fi

seconds=$3
length=$4
ports=$5
shift 5
trap remove HUP INT TERM
(
    trap '' HUP
    sleep "$seconds"
    remove
) >/dev/null 2>&1 </dev/null &
ways=
if fill mangle PREROUTING "$chain-in" -s "$@" >/dev/null 2>&1; then ways=" in"; fi
if fill mangle POSTROUTING "$chain-out" -d "$@" >/dev/null 2>&1; then ways="$ways out"; fi
for table in security nat; do
    if trouble=$(fill "$table" INPUT "$chain" -s "$@" 2>&1); then
        echo "counting $table$ways"
        exit 0
    fi
    detach "$table" INPUT "$chain"
done
remove
echo "cannot $trouble"
