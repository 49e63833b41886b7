# The other half of prober.sh, which comes after it: the port at which peers call, and what bounds every command.
#
# Descriptor 3 leads to "keep", a line a fact:
#     limit PROCESS UNTIL, over PROCESS    a command and when it has to end; it has ended
#     port PROCESS                         peers can connect, and to what
#     call PEER, guest PEER                this prober calls a peer; a peer has called
#     tick, end, late, closed              time passes; all probes are done; nobody is waited for; the port is closed
#
# shellcheck disable=SC2154 # source and port are set in prober.sh

# Of all netcats busybox's alone runs a program for each of many callers ("-e PROGRAM" has to be its last option).
netcat=
persistent=
for tool in nc "busybox nc"; do
    case $($tool --help 2>&1) in
        *BusyBox*"with -e for persistent server"*) persistent="-l -l" ;;
        *BusyBox*"With -e, provides persistent server"*) persistent="-l -k" ;; # with NC_110_COMPAT
        *) continue ;;
    esac
    netcat=$tool
    break
done

pause() { sleep 0.1 2>/dev/null || sleep 1; }

# Sets $now to whole seconds. (No process: many of these run at once on one node.)
clock() {
    read -r now </proc/uptime
    now=${now%%.*}
}

# Runs a command for so many seconds at most: the keeper ends it then. busybox's "timeout" would leave a process for a
# second, and in a container whose first process reaps no children a zombie for good.
limited() {
    clock
    seconds=$1
    shift
    { "$@" <&6 6<&- 3>&- & } 6<&0 # a command in the background has no other input
    echo "limit $! $((now + seconds))" >&3
    wait "$!" 2>/dev/null
    echo "over $!" >&3
}

# Waits for children of this shell, and gives the keeper time.
await() {
    for child; do
        while read -r state 2>/dev/null <"/proc/$child/stat"; do
            case $state in *") Z "*) break ;; esac
            pause
            echo tick >&3
        done
        wait "$child" 2>/dev/null
    done
}

# Whether something listens at PORT in this namespace.
listens() {
    grep -qs "$listening" /proc/net/tcp /proc/net/tcp6
}

# shellcheck disable=SC2016 # it is expanded where it runs
# What runs for each caller: it sends back what comes, and tells descriptor 3 who calls (nobody, where nothing comes).
guest='
    while IFS= read -r line; do
        printf "%s\n" "$line"
        case $line in
            *from=*)
                echo "guest ${line#*from=}" >&3
                exec cat 3>&-
                ;;
        esac
    done
    echo guest >&3
'

# Lets peers connect, and tells descriptor 3 the process.
open_port() {
    listening=" [0-9A-F]*:$(printf %04X "$port") [0-9A-F]*:0000 0A "
    if [ "$port" = 0 ] || [ -z "$netcat" ] || listens; then return; fi
    # shellcheck disable=SC2086 # words
    $netcat $persistent -p "$port" -e sh -c "$guest" </dev/null >/dev/null 2>&1 5>&- &
    patient=50
    while ! listens; do
        patient=$((patient - 1))
        if [ "$patient" = 0 ]; then
            kill "$!" 2>/dev/null
            return
        fi
        pause
    done
    echo "port $!" >&3
    printf 'listen\t%s\n' "$source"
}

# Ends the port's process after its children, which serve callers: nobody else would reap them.
end_port() {
    patient=20
    while children=$(grep -ls "^[0-9]* (.*) [A-Z] $1 " /proc/[0-9]*/stat) && [ -n "$children" ]; do
        patient=$((patient - 1))
        if [ "$patient" = 0 ]; then break; fi
        if [ "$patient" -le 2 ]; then echo "$children" | sed 's/[^0-9]//g' | xargs kill 2>/dev/null; fi
        pause
    done
    kill "$1" 2>/dev/null
}

# Reads descriptor 3's other end: what runs, and for how long it may.
#
# It closes the port once this prober has ended and every peer that answered it has called, or none is waited for any
# longer.
keep() {
    limits=
    process=
    ended=
    calls=
    guests=
    unknown=0
    while read -r what which until; do
        case $what in
            limit) limits="$limits $which:$until" ;;
            over) forget "$which" ;;
            tick) end_overdue ;;
            port) process=$which ;;
            call) calls="$calls $which" ;;
            guest) if [ -n "$which" ]; then guests="$guests $which "; else unknown=$((unknown + 1)); fi ;;
            end) ended=1 ;;
            late) calls= ;;
            closed) process= ;;
        esac
        if [ -z "$ended" ] || [ -z "$process" ]; then continue; fi
        awaited=0
        for peer in $calls; do
            case $guests in *" $peer "*) ;; *) awaited=$((awaited + 1)) ;; esac
        done
        if [ "$awaited" -le "$unknown" ]; then
            end_port "$process"
            process=
        fi
    done
}

forget() {
    others=
    for limit in $limits; do
        if [ "${limit%:*}" != "$1" ]; then others="$others $limit"; fi
    done
    limits=$others
}

end_overdue() {
    clock
    for limit in $limits; do
        if [ "$now" -gt "${limit#*:}" ]; then kill "${limit%:*}" 2>/dev/null; fi
    done
}
