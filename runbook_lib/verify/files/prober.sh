# Runs inside one container's network namespace (or in the container itself) and probes all of its peers at once
# with the ping and nslookup that are there, iputils' or busybox's.
#
# usage: sh -c PROGRAM sh SOURCE COUNT TIMEOUT BY PORT TARGET=ADDRESS ...      (as prober.pl)
#
# Prints, fields separated by tabs:
#     dns   SOURCE  TARGET  ADDRESS or the reason why there is none (TARGET is SOURCE too)
#     ping  SOURCE  TARGET  BY  ADDRESS, then ping's own output, then a line "pong"
#     size  SOURCE  TARGET  WANTED  LARGEST  SENT  ANSWERED  what this ping cannot prove
#     size  SOURCE  TARGET  the reason why no size was tried
#     tcp   SOURCE  TARGET  the reason why no connection was tried: no tool here listens and sends back what comes
#     end   SOURCE
# Where name and address lead to the same place they share one ping, and BY is "name,address".
source=$1
count=$2
timeout=$3
by=$4
port=$5
shift 5
seconds=${timeout%.*}
case $timeout in *.*[1-9]*) seconds=$((seconds + 1)) ;; esac

# busybox before 1.30 has "timeout -t SECONDS", and its ping neither -i with fractions nor -A
limit="timeout $seconds"
timeout 1 true 2>/dev/null || limit="timeout -t $seconds"
pace=
for option in "-i 0.2" "-A"; do
    # shellcheck disable=SC2086 # two words
    if ping $option -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; then
        pace=$option
        break
    fi
done
# busybox has no option that forbids fragments: what passes may have been cut
whole=
doubt='what passed may have been cut into fragments: this ping cannot forbid it'
# "probe" forbids fragments whatever the kernel has learned of the way before; older ones have "do" alone
for option in "-M probe" "-M do"; do
    # shellcheck disable=SC2086 # two words
    if ping $option -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; then
        whole=$option
        doubt=
        break
    fi
done
lookup=nslookup
if command -v busybox >/dev/null; then lookup="busybox nslookup"; fi

# Sets $resolved to the address, or to the reason why there is none.
resolve() {
    # shellcheck disable=SC2086 # $limit is two or three words, $lookup one or two
    answer=$($limit $lookup "$1" 127.0.0.11 2>&1)
    case $answer in
        *NXDOMAIN*) resolved=nxdomain ;;
        *SERVFAIL*) resolved=servfail ;;
        *REFUSED*) resolved=refused ;;
        # the engine's name server listens at another port, to which rules of this namespace lead
        *refused*) if grep -q ' 0B00007F:' /proc/net/udp; then resolved="no rule"; else resolved=closed; fi ;;
        *Name:*Address*:*)
            resolved=${answer#*Name:}
            resolved=${resolved#*Address*: }
            resolved=${resolved%%[!0-9.]*}
            ;;
        *) resolved=timeout ;;
    esac
    printf 'dns\t%s\t%s\t%s\n' "$source" "$1" "$resolved"
}

echo_to() {
    # shellcheck disable=SC2086 # $pace is empty or two words
    replies=$(ping $pace -c "$count" -W "$seconds" "$3" 2>&1)
    printf 'ping\t%s\t%s\t%s\t%s\n%s\npong\n' "$source" "$1" "$2" "$3" "$replies"
    case $4,$replies in carry,*" time="*) if [ "$port" != 0 ]; then carry "$1" "$3"; fi ;; esac
}

# One echo request of SIZE bytes, as an IP packet, to ADDRESS.
passes() {
    # shellcheck disable=SC2086 # none or two words
    heard=$(ping $whole -c 1 -W "$seconds" -s $(($1 - 28)) "$2" 2>&1)
}

# The largest packet that passes to TARGET at ADDRESS: as large as the interface takes, or else smaller ones, all at once.
carry() {
    device=$(ip route get "$2" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    mtu=$(ip link show "${device:-none}" 2>/dev/null | sed -n 's/.* mtu \([0-9]*\).*/\1/p')
    printf 'tcp\t%s\t%s\tnot tried: it needs perl, and root over SSH\n' "$source" "$1"
    if [ "${mtu:-0}" -le 84 ]; then
        printf 'size\t%s\t%s\tfull size not tried: no "ip" tells the MTU of the interface\n' "$source" "$1"
        return
    fi
    largest=84
    answered=0
    for sent in 1 2; do
        if passes "$mtu" "$2"; then
            largest=$mtu
            answered=1
            break
        fi
        case $sent,$heard in
            1,*"too long"*)
                refusal='the kernel sends none: it has learned of a smaller way, which it forgets after 10 minutes'
                printf 'size\t%s\t%s\tfull size not tried: %s\n' "$source" "$1" "$refusal"
                return
                ;;
        esac
    done
    if [ "$answered,$sent" = 1,2 ]; then # ten in all tell a single loss from many
        while [ "$sent" -lt 10 ]; do
            sent=$((sent + 1))
            if passes "$mtu" "$2"; then answered=$((answered + 1)); fi
        done
    fi
    if [ "$answered" = 0 ]; then
        largest=$(
            echo 84
            size=$mtu
            while size=$((size - 50)) && [ "$size" -gt 84 ]; do
                if passes "$size" "$2"; then echo "$size"; fi &
            done
            wait
        )
        largest=$(echo "$largest" | sort -n | tail -n 1)
    fi
    printf 'size\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$source" "$1" "$mtu" "$largest" "$sent" "$answered" "$doubt"
}

probe() {
    resolved=
    by_name=carry
    case ,$by, in *,name,*) resolve "$1" ;; esac
    case ,$by, in
        *,address,*)
            if [ -n "$2" ] && [ "$2" = "$resolved" ]; then
                echo_to "$1" name,address "$2" carry
                return
            fi
            if [ -n "$2" ]; then
                by_name=
                echo_to "$1" address "$2" carry &
            fi
            ;;
    esac
    case $resolved in *.*.*.*) echo_to "$1" name "$resolved" "$by_name" ;; esac
    wait
}

# the own name too, which the engine surely knows: it tells a resolver that lives from one that keeps silent
case ,$by, in *,name,*) resolve "$source" & ;; esac
running=0
for pair; do
    target=${pair%%=*}
    if [ "$target" = "$source" ]; then continue; fi
    probe "$target" "${pair#*=}" &
    # every ping's raw socket gets all answers of this namespace: more at once would overflow its buffer
    running=$((running + 1))
    if [ $((running % 16)) = 0 ]; then wait; fi
done
wait
printf 'end\t%s\n' "$source"
