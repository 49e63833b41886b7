# Captures VXLAN packets on one interface, without tcpdump: a packet socket sees what the interface sends and receives.
# Only those between two addresses of an overlay are taken; others may send thousands meanwhile.
#
# usage (as root): perl -e PROGRAM INTERFACE PORT SECONDS LIMIT ONE OTHER [VNI]
#
# Prints one line a fact, its fields separated by tabs:
#     ready
#     packet  SECONDS SINCE THE EPOCH  sent or received  THE WHOLE FRAME IN HEXADECIMAL
#     end     PACKETS
# Ends after SECONDS, after LIMIT packets, or as soon as its standard input is closed.
use strict;
use warnings;
use Socket;
use POSIX ();

# from linux/if_packet.h, linux/if_ether.h and asm-generic/sockios.h
use constant { AF_PACKET => 17, ETH_P_ALL => 3, PACKET_OUTGOING => 4, SIOCGSTAMP => 0x8906, SO_RCVBUFFORCE => 33 };
use constant { ETHERNET => 14, IPV4 => "\x08\x00", UDP => 17, VXLAN => 8 };

my ($interface, $port, $seconds, $limit, $one, $other, $vni) = @ARGV;
my ($way, $back) = (inet_aton($one) . inet_aton($other), inet_aton($other) . inet_aton($one));

open(my $file, '<', "/sys/class/net/$interface/ifindex") or die "there is no interface $interface\n";
my $index = <$file>;
close $file;

# only a socket of all protocols also sees what is sent
socket(my $wire, AF_PACKET, SOCK_RAW, unpack('S', pack('n', ETH_P_ALL))) or die "packet socket: $!\n";
bind($wire, pack('SnlSCCa8', AF_PACKET, ETH_P_ALL, $index, 0, 0, 0, '')) or die "$interface: $!\n";

setsockopt $wire, SOL_SOCKET, SO_RCVBUFFORCE, pack('i', 4 << 20);

sub arrival {
    my $stamp = pack 'l!l!', 0, 0;
    return time if !ioctl $wire, SIOCGSTAMP, $stamp;
    my ($whole, $micro) = unpack 'l!l!', $stamp;
    return $whole + $micro / 1e6;
}

# VXLAN's own port stands in the destination only; the source port is a hash of the inner packet
sub is_wanted {
    my ($frame) = @_;
    return 0 if length $frame < ETHERNET + 28 || substr($frame, 12, 2) ne IPV4;
    my $udp = ETHERNET + 4 * (ord(substr $frame, ETHERNET, 1) & 15);
    my $tunnel = $udp + 8;
    my $inner = $tunnel + VXLAN + ETHERNET;
    return 0 if ord(substr $frame, ETHERNET + 9, 1) != UDP || length $frame < $inner + 20;
    return 0 if unpack('n', substr $frame, $udp + 2, 2) != $port || substr($frame, $inner - 2, 2) ne IPV4;
    return 0 if length($vni // '') && unpack('N', "\0" . substr $frame, $tunnel + 4, 3) != $vni;
    my $ends = substr $frame, $inner + 12, 8;
    return $ends eq $way || $ends eq $back;
}

# a clock that nobody sets, in steps of 10 ms: Time::HiRes, which has a finer one, is missing where perl is but its base
my $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK());
sub clock { return (POSIX::times())[0] / $ticks }

arrival();    # the first call switches the kernel's time stamps on
$| = 1;
print "ready\n";
my $end = clock() + $seconds;
my $packets = 0;
my $asked = 1;
while ($packets < $limit) {
    my $left = $end - clock();
    last if $left < -1;
    $left = 0 if $left < 0 || !$asked;
    my $ready = '';
    vec($ready, fileno(STDIN), 1) = 1 if $asked;
    vec($ready, fileno($wire), 1) = 1;
    # what has arrived already is taken before the end
    last if select($ready, undef, undef, $left) < 1 && $left == 0;
    $asked = 0 if $asked && vec($ready, fileno(STDIN), 1) && !sysread STDIN, my $word, 64;
    next if !vec $ready, fileno($wire), 1;
    my $from = recv $wire, my $frame, 65536, 0;
    next if !defined $from || !is_wanted($frame);
    my $kind = unpack 'x10C', $from;
    printf "packet\t%.6f\t%s\t%s\n", arrival(), $kind == PACKET_OUTGOING ? 'sent' : 'received', unpack('H*', $frame);
    $packets++;
}
print "end\t$packets\n";
