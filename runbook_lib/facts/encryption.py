"""Can a node's kernel encrypt an overlay? Tried rather than assumed, in a network namespace that is gone at once.

What is tried is what an engine does for an encrypted network (moby, ``libnetwork/drivers/overlay/encryption.go``): a
state of IPsec with AES-GCM, and an iptables rule that tells the packets of one VNI from others', by the match ``bpf``
or, where there is none, ``u32``.
"""

from __future__ import annotations

from runbook_lib.cluster import Node
from runbook_lib.errors import NodeError

REMEDY = "modprobe esp4 xfrm_user xt_u32 xt_bpf; a kernel that has them; or overlay.encrypted: false"

_NO_ESP, _NO_MATCH = 81, 82
# The key is nobody's.
_PROBE = f"""\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
exec unshare --net sh -c '
ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport \\
    aead "rfc4106(gcm(aes))" 0x0102030405060708090a0b0c0d0e0f1011121314 64 || exit {_NO_ESP}
rule="iptables -t mangle -A OUTPUT -p udp --dport 4789"
$rule -m bpf --bytecode "1,6 0 0 65536" -j MARK --set-mark 1 ||
    $rule -m u32 --u32 "0>>22&0x3C@12&0xFFFFFF00=1048576" -j MARK --set-mark 1 || exit {_NO_MATCH}'
"""


def read_encryption(node: Node) -> str:
    """Why a node's kernel cannot encrypt an overlay; empty when it can.

    Raises:
        UnreachableError: the node cannot be reached.
        NodeError: it could not be tried (no root, no ``unshare``).
    """
    result = node.ssh.run(["sh", "-c", _PROBE], sudo=True, check=False)
    return parse_encryption(node.name, result.exit_status, result.stderr)


def parse_encryption(node: str, exit_status: int, stderr: str) -> str:
    """From what the probe ended with. Raises ``NodeError`` when it did not get so far."""
    words = (stderr.strip().splitlines() or [f"exit status {exit_status}"])[-1]
    if exit_status == 0:
        return ""
    if exit_status == _NO_ESP:
        return f"the kernel has no ESP with AES-GCM ({words})"
    if exit_status == _NO_MATCH:
        return f"the kernel's iptables match neither by bpf nor by u32 ({words})"
    message = f"cannot try whether the kernel encrypts: {words}"
    raise NodeError(node, message, remedy="it needs root over SSH and unshare")
