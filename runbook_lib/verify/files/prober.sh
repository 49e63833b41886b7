# Runs inside one container's network namespace (or in the container itself) and probes all of its peers at once
# with the ping and nslookup that are there, iputils' or busybox's.
#
# usage: sh -c PROGRAM sh SOURCE COUNT TIMEOUT BY TARGET=ADDRESS ...      (as prober.pl)
#
# Prints, fields separated by tabs:
#     dns   SOURCE  TARGET  ADDRESS or the reason why there is none
#     ping  SOURCE  TARGET  BY  ADDRESS, then ping's own output, then a line "pong"
#     end   SOURCE
# Where name and address lead to the same place they share one ping, and BY is "name,address".
source=$1
count=$2
timeout=$3
by=$4
shift 4
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
        *refused*) resolved=refused ;;
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
}

probe() {
    resolved=
    case ,$by, in *,name,*) resolve "$1" ;; esac
    case ,$by, in
        *,address,*)
            if [ -n "$2" ] && [ "$2" = "$resolved" ]; then
                echo_to "$1" name,address "$2"
                return
            fi
            if [ -n "$2" ]; then echo_to "$1" address "$2" & fi
            ;;
    esac
    case $resolved in *.*.*.*) echo_to "$1" name "$resolved" ;; esac
    wait
}

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
