#!/bin/sh
# mmdebstrap's customize hook: turns a minimal Debian into a node.
# usage: customize.sh ROOTFS, with NODE_FILES naming the folder of our own files.
set -eu
root=$1

cp -R "$NODE_FILES/." "$root/"
chmod 0755 "$root/etc/rc.d" "$root/etc/rc.d/"* "$root/etc/init.d/docker"
chmod 0644 "$root/etc/inittab" "$root/etc/ssh/sshd_config.d/"*
chmod 0440 "$root/etc/sudoers.d/docker"

chroot "$root" useradd --create-home --uid 1000 --gid docker --shell /bin/sh docker
# No password, but not locked: sshd refuses keys of a locked account.
chroot "$root" usermod --password '*' docker
# Each node brings its own host key; one in the shared tree would give every node the same identity.
rm -f "$root"/etc/ssh/ssh_host_*
ln -sf ../../bin/docker "$root/usr/local/bin/docker"
ln -sf /bin/busybox "$root/sbin/init"
for action in reboot poweroff halt; do
    ln -sf ../../etc/rc.d/go-down "$root/usr/sbin/$action"
done
# The applets that a boot2docker host has and this Debian lacks.
for applet in $(chroot "$root" busybox --list); do
    if ! chroot "$root" sh -c 'command -v "$1" >/dev/null' sh "$applet"; then
        ln -s /bin/busybox "$root/usr/bin/$applet"
    fi
done
: >"$root/etc/resolv.conf"
mkdir -p "$root/var/lib/boot2docker" "$root/var/lib/docker" "$root/etc/docker"
rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists"
mkdir -p "$root/var/cache/apt" "$root/var/lib/apt/lists"
