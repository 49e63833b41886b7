#!/bin/sh
# mmdebstrap's customize hook: turns a node's tree, to which systemd and the network managers were added,
# into that of a host which boots systemd.
# usage: customize-debian.sh ROOTFS, with NODE_FILES naming the folder of our own files.
set -eu
root=$1

units() {
    verb=$1
    shift
    SYSTEMD_OFFLINE=1 chroot "$root" systemctl --quiet "$verb" "$@"
}

cp -R "$NODE_FILES/." "$root/"
chmod 0755 "$root/usr/local/lib/overlay-runbook/"*
find "$root/etc/systemd" "$root/etc/NetworkManager/conf.d" -type f -exec chmod 0644 {} +
rm -rf "$root/etc/rc.d" "$root/etc/inittab" "$root/etc/init.d/docker" "$root/var/lib/boot2docker"
# Written anew by every node at its first boot.
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
rm -f "$root/etc/hostname"
# Each node enables the one manager that it is under; the store is started by whoever wants it.
units disable NetworkManager.service NetworkManager-wait-online.service NetworkManager-dispatcher.service \
    networking.service systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service \
    etcd.service
units enable docker.service ssh.service overlay-runbook-boot.service
# Of no use in a node that has no devices, no terminal and no clock of its own, and lives for minutes.
units mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-tmpfiles-clean.timer e2scrub_reap.service systemd-pstore.service \
    console-getty.service getty.target getty@tty1.service \
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    ifupdown-pre.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
    systemd-random-seed.service systemd-network-generator.service remote-fs.target \
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount kmod-static-nodes.service systemd-modules-load.service
chroot "$root" usermod --append --groups systemd-journal docker
mkdir -p "$root/var/lib/overlay-runbook" "$root/var/log/journal"
