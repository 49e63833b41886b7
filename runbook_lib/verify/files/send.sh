# Tries TCP ports of other nodes and sends UDP probes to them, all at once. Needs no root.
#
# usage: sh -s COUNT PAYLOAD tcp:ADDRESS:PORT | udp:ADDRESS:PORT ...
#
# Prints "TARGET RESULT" a target: connected, refused, timeout or the tool's own words for TCP; sent or a reason for
# UDP, of which COUNT probes with PAYLOAD are sent.
count=$1
payload=$2
shift 2
export LC_ALL=C

limit="timeout 2"
timeout 1 true 2>/dev/null || limit="timeout -t 2"

# bash opens sockets by itself; where it is missing busybox nc does, but for TCP only
try_tcp() {
    # shellcheck disable=SC2086,SC2016 # $limit is two or three words; bash expands its own $1
    if command -v bash >/dev/null; then
        trouble=$($limit bash -c ': <"/dev/tcp/$1/$2"' bash "$1" "$2" 2>&1)
    else
        trouble=$($limit nc -w 2 "$1" "$2" </dev/null 2>&1 >/dev/null)
    fi
    status=$?
    case $status,$trouble in
        0,*) echo connected ;;
        *refused*) echo refused ;;
        *unreachable* | *"No route"*) echo unreachable ;;
        124,* | 143,* | *imed*out*) echo timeout ;;
        *) echo "exit status $status: $trouble" | tr '\n' ' ' ;;
    esac
}

# One write is one datagram. bash writes 4096 bytes at most at once: dd gathers them (obs) and writes them as one.
send_udp() {
    # shellcheck disable=SC2016 # bash and perl expand their own variables
    if command -v bash >/dev/null; then
        trouble=$(bash -c '
            for ((n = 0; n < $3; n++)); do printf %s "$4" 2>/dev/null | dd obs=65507 >"/dev/udp/$1/$2" || exit 1; done
        ' bash "$1" "$2" "$count" "$payload" 2>&1)
    else
        trouble=$(perl -MSocket -e '
            my ($to, $port, $count, $payload) = @ARGV;
            socket(my $udp, AF_INET, SOCK_DGRAM, 0) or die "$!\n";
            for (1 .. $count) { send($udp, $payload, 0, pack_sockaddr_in($port, inet_aton($to))) or die "$!\n" }
        ' "$1" "$2" "$count" "$payload" 2>&1)
    fi
    case $? in
        0) echo sent ;;
        *) echo "not sent: $trouble" | grep -v -e ' records in$' -e ' records out$' -e ' copied' | tr '\n' ' ' ;;
    esac
}

for target; do
    {
        rest=${target#*:}
        case $target in
            tcp:*) result=$(try_tcp "${rest%:*}" "${rest#*:}") ;;
            *) result=$(send_udp "${rest%:*}" "${rest#*:}") ;;
        esac
        printf '%s %s\n' "$target" "$result"
    } &
done
wait
