# Enters the network namespace of every given container of this node, all at once, and runs one prober in each.
#
# usage (as root): sh -s METHOD PERL_PROGRAM SHELL_PROGRAM SOURCES ARGUMENT...
#        METHOD is perl, ping or auto; SOURCES holds one "NAME PID" a line
#
# First prints "prober METHOD", then whatever the probers print (see prober.pl and prober.sh), and
# "error SOURCE MESSAGE" for a namespace that cannot be entered. Fields are separated by tabs.
method=$1
perl_program=$2
shell_program=$3
sources=$4
shift 4
export LC_ALL=C

if [ "$method" = auto ]; then
    method=ping
    if perl -MErrno -MFcntl -MSocket -MTime::HiRes -e 1 2>/dev/null; then
        method=perl
    fi
fi
printf 'prober\t%s\n' "$method"

probe() {
    name=$1
    namespace=/proc/$2/ns/net
    shift 2
    if [ "$method" = perl ]; then
        nsenter "--net=$namespace" perl -e "$perl_program" "$name" "$@"
    else
        nsenter "--net=$namespace" sh -c "$shell_program" sh "$name" "$@"
    fi
}

while read -r name pid; do
    {
        error=$(probe "$name" "$pid" "$@" </dev/null 2>&1 >&3) || error="exit status $?: $error"
        if [ -n "$error" ]; then
            printf 'error\t%s\t%s\n' "$name" "$(printf '%s' "$error" | tr '\n\t' '  ')" >&3
        fi
    } &
done 3>&1 <<SOURCES
$sources
SOURCES
wait
