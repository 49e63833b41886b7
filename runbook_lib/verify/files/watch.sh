# Looks at one target again and again from where it runs: does its name resolve, does it answer?
#
# usage: sh -c PROGRAM sh TARGET ADDRESS INTERVAL SAMPLES      (ADDRESS may be empty)
#
# Prints, fields separated by tabs, N counting the samples from 0 and UPTIME in seconds:
#     tick  N  UPTIME                  at the start of each sample
#     dns   N  ADDRESS or "-"
#     ping  N  ADDRESS  MILLISECONDS or "-"
#     end
# Ends after SAMPLES, or as soon as its standard input is closed.
target=$1
address=$2
interval=$3
samples=$4
export LC_ALL=C

limit="timeout 1"
timeout 1 true 2>/dev/null || limit="timeout -t 1"
lookup=nslookup
if command -v busybox >/dev/null; then lookup="busybox nslookup"; fi

ping_once() {
    reply=$(ping -c 1 -W 1 "$2" 2>/dev/null)
    case $reply in
        *" time="*)
            milliseconds=${reply#* time=}
            printf 'ping\t%s\t%s\t%s\n' "$1" "$2" "${milliseconds%% *}"
            ;;
        *) printf 'ping\t%s\t%s\t-\n' "$1" "$2" ;;
    esac
}

look_up() {
    # shellcheck disable=SC2086 # $limit is two or three words, $lookup one or two
    answer=$($limit $lookup "$target" 127.0.0.11 2>&1)
    resolved=-
    case $answer in
        *NXDOMAIN* | *SERVFAIL* | *efused*) ;;
        *Name:*Address*:*)
            resolved=${answer#*Name:}
            resolved=${resolved#*Address*: }
            resolved=${resolved%%[!0-9.]*}
            ;;
    esac
    printf 'dns\t%s\t%s\n' "$1" "${resolved:--}"
    if [ "${resolved:--}" != - ] && [ "$resolved" != "$address" ]; then ping_once "$1" "$resolved"; fi
}

sample() {
    number=0
    while [ "$number" -lt "$samples" ]; do
        read -r uptime _ </proc/uptime
        printf 'tick\t%s\t%s\n' "$number" "$uptime"
        look_up "$number" &
        if [ -n "$address" ]; then ping_once "$number" "$address" & fi
        sleep "$interval"
        number=$((number + 1))
    done
    wait
    echo end
}

sample &
sampler=$!
cat >/dev/null
kill "$sampler" 2>/dev/null
exit 0
