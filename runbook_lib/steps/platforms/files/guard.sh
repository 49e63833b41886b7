#!/bin/sh
# Keeps a node from being lost: puts its network configuration back unless the change to it is confirmed in time.
#
# usage: guard.sh arm       backs the files up, then sets the alarm; run in the folder that was just unpacked
#        guard.sh change    puts the wanted files in place and has the network manager take them up
#        guard.sh confirm   ends the guard: the new files stay
#        guard.sh restore   the alarm: puts the old files back and has the network manager take them up
#        guard.sh boot      at a boot before any network is up: puts the old files back
#
# The folder holds: settings (shell variables manager, interface, connection, connection_before, seconds), manifest (a
# line a file: MODE PATH, or - PATH for one that is to go), wanted/N and before/N (the Nth file of the manifest, where
# there is one), and armed, which becomes restoring or confirmed: whoever renames it decides.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
home=/var/lib/overlay-runbook/guard
unit=overlay-runbook-guard.service
alarm=overlay-runbook-alarm
change=overlay-runbook-change
BUSY=75
TOO_LATE=76

# Calls "$1 NUMBER MODE PATH" for each file of the manifest.
each_file() {
    number=0
    while read -r mode path; do
        number=$((number + 1))
        "$1" "$number" "$mode" "$path" || return
    done <manifest
}

back_up() {
    if [ -e "$3" ]; then cp -a -- "$3" "before/$1"; fi
}

# A file appears whole or not at all; the name begins with a dot, which every network manager passes over.
replace() {
    beside=${3%/*}/.${3##*/}.overlay-runbook
    mkdir -p "${3%/*}" && cp -a -- "$2" "$beside" && mv -f -- "$beside" "$1" && sync "$1" "${1%/*}/"
}

put_wanted() {
    if [ "$2" = - ]; then
        rm -f -- "$3"
        return
    fi
    chmod "$2" "wanted/$1"
    # An existing file keeps its owner.
    if [ -e "$3" ]; then chown --reference="$3" "wanted/$1"; fi
    replace "$3" "wanted/$1" "$3"
}

put_back() {
    if [ -e "before/$1" ]; then replace "$3" "before/$1" "$3"; else rm -f -- "$3"; fi
}

# ifupdown has to end what the present files began: it remembers that an interface is up, not how.
network_down() {
    case $manager in
    ifupdown) ifdown --force "$interface" ;;
    esac
}

# Only this interface is touched, so that others keep their connections. "$1" is NetworkManager's profile, if any.
network_up() {
    case $manager in
    systemd-networkd) networkd_up || systemctl restart systemd-networkd ;;
    netplan-networkd) netplan generate && { networkd_up || systemctl restart systemd-networkd; } ;;
    NetworkManager) profile_up "$1" || device_up ;;
    netplan-NetworkManager) netplan generate && { profile_up "$1" || device_up; } ;;
    # In a scope of its own: the DHCP client that ifup leaves behind would end with this script's service.
    ifupdown) systemd-run --quiet --scope --collect ifup --force "$interface" ;;
    *) echo "unknown manager $manager" >&2; return 1 ;;
    esac
}

# A reload reconfigures every interface whose file has changed. Another reconfiguration on its heels can leave networkd
# (seen in 252) with a lease whose address it never assigns, so that follows only where it is stuck.
networkd_up() {
    if [ -s manifest ]; then networkctl reload; else networkctl reconfigure "$interface"; fi || return
    sleep 0.5
    networkd_settled || networkctl reconfigure "$interface"
}

networkd_settled() {
    state=/run/systemd/netif/links/$(cat "/sys/class/net/$interface/ifindex")
    tries=0
    until grep -qx ADMIN_STATE=configured "$state"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 25 ]; then return 1; fi
        sleep 0.2
    done
}

# Neighbours' ARP tables may still have the address's previous MAC: nine seconds on Linux, on others for longer.
# An address is fixed only after arping has asked for it; if it fails here, the neighbours find out by themselves.
announce() {
    if busybox arping --help >/dev/null 2>&1; then tool='busybox arping'; else tool=arping; fi
    for address in $(ip -4 -o addr show dev "$interface" | sed -n 's/.* inet \([0-9.]*\).*/\1/p'); do
        $tool -q -A -c 1 -I "$interface" "$address" </dev/null || echo "$address was not announced" >&2
    done
}

profile_up() {
    nmcli connection reload && [ -n "$1" ] && nmcli --wait 20 connection up "$1"
}

device_up() {
    nmcli --wait 20 device connect "$interface"
}

# What a guard leaves behind: nothing.
remove() {
    systemctl stop "$alarm.timer" 2>/dev/null
    rm -f "/etc/systemd/system/$unit" "/etc/systemd/system/sysinit.target.wants/$unit"
    rm -rf "$home"
    rmdir "${home%/*}" 2>/dev/null
    sync /etc/systemd/system /var/lib
    if [ "$1" = live ]; then systemctl daemon-reload; fi
}

arm() {
    if [ -e "$home" ]; then
        if systemctl is-active --quiet "$alarm.timer" "$alarm.service"; then
            echo 'another change of this node waits for its confirmation' >&2
            exit "$BUSY"
        fi
        echo 'an earlier guard has lost its alarm: its old files are put back first' >&2
        sh "$home/guard.sh" restore
        rm -rf "$home"
    fi
    . ./settings
    mkdir before && each_file back_up && : >armed && sync . ./* before/ || exit
    # Before the alarm is set and the unit is there nothing is changed, so that there is nothing to be put back.
    mv -T "$PWD" "$home" || exit "$BUSY"
    cd "$home" || exit
    mkdir -p /etc/systemd/system/sysinit.target.wants
    cp "$unit" "/etc/systemd/system/$unit" &&
        ln -sf "../$unit" "/etc/systemd/system/sysinit.target.wants/$unit" &&
        sync /etc/systemd/system /etc/systemd/system/sysinit.target.wants /var/lib/overlay-runbook &&
        systemctl daemon-reload &&
        systemd-run --quiet --collect --unit="$alarm" --on-active="${seconds}s" --timer-property=AccuracySec=100ms \
            /bin/sh "$home/guard.sh" restore
    if ! systemctl is-active --quiet "$alarm.timer"; then
        remove live
        echo 'the alarm could not be set' >&2
        exit 1
    fi
}

change() {
    cd "$home" && [ -e armed ] || exit "$TOO_LATE"
    . ./settings
    {
        network_down
        each_file put_wanted && network_up "$connection" && announce
    } >change.log 2>&1
    echo $? >outcome.new && mv outcome.new outcome
}

confirm() {
    mv "$home/armed" "$home/confirmed" 2>/dev/null || exit "$TOO_LATE"
    remove live
}

restore() {
    cd "$home" 2>/dev/null || exit 0
    mv armed restoring 2>/dev/null || [ -e restoring ] || exit 0
    . ./settings
    echo "the change of $interface was not confirmed: its old configuration is put back"
    if [ "$1" = live ]; then
        # A change that hangs must not keep the node from being healed.
        systemctl stop "$change.service" 2>/dev/null
        network_down
    fi
    each_file put_back || exit
    if [ "$1" = live ]; then
        if network_up "$connection_before"; then
            announce
        else
            echo "$manager did not take the old configuration up" >&2
        fi
    else
        case $manager in netplan-*) netplan generate ;; esac
    fi
    cd / && remove "$1"
}

case ${1:-} in
arm) arm ;;
change) change ;;
confirm) confirm ;;
restore) restore live ;;
boot) restore boot ;;
*)
    echo "usage: guard.sh arm|change|confirm|restore|boot" >&2
    exit 2
    ;;
esac
