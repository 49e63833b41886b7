# Runs inside one container's network namespace (or in the container itself) and probes all of its peers at once
# with the ping, nslookup and nc that are there: iputils' or busybox's. (callers.sh stands before it.)
#
# usage: sh -c PROGRAMS sh SOURCE COUNT TIMEOUT BY PORT TARGET=ADDRESS ...      (as prober.pl)
#
# Prints, fields separated by tabs:
#     dns     SOURCE  TARGET  ADDRESS or the reason why there is none (TARGET is SOURCE too)
#     ping    SOURCE  TARGET  BY  ADDRESS, then ping's own output, then a line "pong"
#     size    SOURCE  TARGET  WANTED  LARGEST  SENT  ANSWERED  what this ping cannot prove
#     size    SOURCE  TARGET  the reason why no size was tried
#     tcp     SOURCE  TARGET  "passed", "refused", the reason why not, or why no connection was tried
#     listen  SOURCE          peers could connect to it
#     end     SOURCE
# Where name and address lead to the same place they share one ping, and BY is "name,address".
# shellcheck disable=SC2154 # netcat and now are set in callers.sh
export LC_ALL=C
source=$1
count=$2
timeout=$3
by=$4
port=$5
shift 5
seconds=${timeout%.*}
case $timeout in *.*[1-9]*) seconds=$((seconds + 1)) ;; esac

# busybox before 1.30 has neither -i with fractions nor -A
pace=
for option in "-i 0.2" "-A"; do
    # shellcheck disable=SC2086 # two words
    if ping $option -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; then
        pace=$option
        break
    fi
done
whole=
plain=1
# "probe" forbids fragments whatever the kernel has learned of the way before; older ones have "do" alone
for option in "-M probe" "-M do"; do
    # shellcheck disable=SC2086 # two words
    if ping $option -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; then
        whole=$option
        plain=
        break
    fi
done
lookup=nslookup
if command -v busybox >/dev/null; then lookup="busybox nslookup"; fi

patience=$((4 + seconds)) # for a connection: its kernel repeats what is lost, its peer may be slow
# for a peer whose prober starts later than this one, or to which this one is not among the first six targets
batches=$(($# / 6))
linger=$((2 * patience + batches * (2 * patience + count)))

# Sets $resolved to the address, or to the reason why there is none.
resolve() {
    # shellcheck disable=SC2086 # one or two words
    answer=$(limited "$seconds" $lookup "$1" 127.0.0.11 2>&1)
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
    wanted=
    if [ "$4" = carry ] && [ "$port" != 0 ]; then
        wanted=1
        find_mtu "$3"
    fi
    # shellcheck disable=SC2086 # $pace is empty or two words
    replies=$(ping $pace -c "$count" -W "$seconds" "$3" 2>&1 | call_at_first_answer "$1" "$3")
    printf 'ping\t%s\t%s\t%s\t%s\n%s\npong\n' "$source" "$1" "$2" "$3" "$replies"
    case $wanted,$replies in 1,*" time="*) carry "$1" "$3" "$mtu" ;; esac
}

# Passes ping's lines on. A peer that has answered is called at once: its port is not open for long.
call_at_first_answer() {
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $wanted,$line in 1,*" time="*) ;; *) continue ;; esac
        wanted=
        call "$1" "$2" $((3 * (mtu ? mtu : 1500))) >&5 &
    done
    wait
}

# Sets $mtu to that of the interface that leads to an address, or to 0.
find_mtu() {
    mtu=0
    found=$(ip route get "$1" 2>/dev/null)
    case $found in *" dev "*) ;; *) return ;; esac
    found=${found#* dev }
    found=$(ip link show "${found%% *}" 2>/dev/null)
    case $found in *" mtu "*) ;; *) return ;; esac
    mtu=${found#* mtu }
    mtu=${mtu%% *}
}

# A connection to TARGET at ADDRESS, as prober.pl makes it: LENGTH, then so many bytes, and all of them back.
call() {
    if [ -z "$netcat" ]; then
        printf 'tcp\t%s\t%s\tnot tried: it needs perl and root over SSH, or an nc of busybox\n' "$source" "$1"
        return
    fi
    echo "call $1" >&3
    clock
    give_up=$((now + linger))
    while :; do
        # shellcheck disable=SC2086 # one or two words
        heard=$(message "$3" | limited "$patience" $netcat "$2" "$port" 2>&1)
        case $heard in *efused*) ;; *) break ;; esac
        # a peer that refuses has not begun yet
        clock
        if [ "$now" -ge "$give_up" ]; then break; fi
        pause
    done
    case $heard in
        *efused*) result=refused ;;
        *"nc: "*) result=${heard##*nc: } ;;
        *) result="${#heard} of $3 bytes came back in $patience s" ;;
    esac
    if [ "${#heard}" -ge "$3" ]; then result=passed; fi
    printf 'tcp\t%s\t%s\t%s\n' "$source" "$1" "$result"
}

# LENGTH as four bytes, most significant first, then so many bytes, of which the first say who calls.
message() {
    # shellcheck disable=SC2059 # the octal numbers are to be read as a format
    printf "$(printf '\\000\\%03o\\%03o\\%03o' $(($1 / 65536)) $(($1 / 256 % 256)) $(($1 % 256)))" ''
    printf "from=%s\\n%$(($1 - 6 - ${#source}))s" "$source" ''
}

# One echo request of SIZE bytes, as an IP packet, to ADDRESS.
passes() {
    # shellcheck disable=SC2086 # none or two words
    heard=$(ping $whole -c 1 -W "$seconds" -s $(($1 - 28)) "$2" 2>&1)
}

# How many fragments this namespace has made; nothing where nobody knows, or where packets may be cut on the way.
fragments() {
    read -r discovery 2>/dev/null </proc/sys/net/ipv4/ip_no_pmtu_disc
    if [ "$discovery" != 0 ]; then return; fi
    { read -r names && read -r numbers; } 2>/dev/null </proc/net/snmp
    for name in $names; do
        if [ "$name" = FragCreates ]; then echo "${numbers%% *}"; fi
        numbers=${numbers#* }
    done
}

# The largest packet that passes to TARGET at ADDRESS: as large as the interface takes (MTU), or smaller ones, all at once.
#
# busybox's ping has no option that forbids fragments. But Linux sends what it does not cut itself with "do not fragment"
# set (ip(7), IP_MTU_DISCOVER), unless net.ipv4.ip_no_pmtu_disc says otherwise, and it counts what it cuts.
carry() {
    mtu=$3
    if [ "$mtu" -le 84 ]; then
        printf 'size\t%s\t%s\tfull size not tried: no "ip" tells the MTU of the interface\n' "$source" "$1"
        return
    fi
    if [ -n "$plain" ]; then made=$(fragments); fi
    doubt=
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
    if [ -n "$plain" ] && [ "${made:-unknown}" != "$(fragments)" ]; then
        doubt='what passed may have been cut into fragments: this ping cannot forbid it'
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

probe_all() {
    running=0
    probes=
    # the own name too, which the engine surely knows: it tells a resolver that lives from one that keeps silent
    case ,$by, in *,name,*) resolve "$source" & probes=$! ;; esac
    for pair; do
        target=${pair%%=*}
        if [ "$target" = "$source" ]; then continue; fi
        probe "$target" "${pair#*=}" &
        probes="$probes $!"
        # every ping's raw socket gets all answers of this namespace: more at once would overflow its buffer
        running=$((running + 1))
        if [ $((running % 6)) = 0 ]; then
            # shellcheck disable=SC2086 # process IDs
            await $probes
            probes=
        fi
    done
    # shellcheck disable=SC2086 # process IDs
    await $probes
}

{
    {
        clock
        give_up=$((now + linger))
        open_port
        probe_all "$@"
        echo end >&3
        while clock && listens && [ "$now" -lt "$give_up" ]; do pause; done
        if listens; then echo late >&3; else echo closed >&3; fi
        wait
    } 3>&1 >&5 | keep
} 5>&1 2>&1
printf 'end\t%s\n' "$source"
