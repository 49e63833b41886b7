# Runs inside one container's network namespace and probes all of its peers at once.
#
# usage: perl -e PROGRAM SOURCE COUNT TIMEOUT BY TARGET=ADDRESS ...
#        BY is "name", "address" or "name,address"; ADDRESS may be empty
#
# Prints one line a fact, its fields separated by tabs:
#     dns   SOURCE  TARGET  ADDRESS or the reason why there is none
#     echo  SOURCE  TARGET  BY  ADDRESS  SEQUENCE  MILLISECONDS or "-"
#     end   SOURCE
#
# All names are asked at once. First echo requests wait for the names (at most 0.1 s), so that the cold probes
# by name and by address leave together. A probe that is answered is followed by the next one right away, one
# that is not after TIMEOUT / COUNT; each is waited for TIMEOUT seconds.
use strict;
use warnings;
use Errno qw(ECONNREFUSED);
use Socket;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use constant {
    ECHO_REPLY => 0, ECHO_REQUEST => 8, SOL_RAW => 255, ICMP_FILTER => 1, SO_RCVBUFFORCE => 33, SIOCGSTAMP => 0x8906
};

my ($source, $count, $timeout, $by, @targets) = @ARGV;
my %by = map { $_ => 1 } split /,/, $by;
my $gap = $timeout / $count < 0.01 ? 0.01 : $timeout / $count;
my $cookie = pack 'NN', $$, int(rand(2**32));

sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub report { syswrite STDOUT, join("\t", @_) . "\n" }

sub icmp_socket {
    socket(my $icmp, AF_INET, SOCK_RAW, getprotobyname('icmp') || 1) or die "raw socket: $!\n";
    setsockopt $icmp, SOL_RAW, ICMP_FILTER, pack('L', ~(1 << ECHO_REPLY) & 0xffffffff);
    setsockopt $icmp, SOL_SOCKET, SO_RCVBUFFORCE, pack('i', 4 << 20);
    arrival($icmp);    # the first call switches the kernel's time stamps on
    return $icmp;
}

# When the kernel received the packet that was read last. Our own clock would also count how long this process
# had to wait for a processor, which is most of the time where many probers run at once.
sub arrival {
    my ($icmp) = @_;
    my $stamp = pack 'l!l!', 0, 0;
    return Time::HiRes::time() if !ioctl $icmp, SIOCGSTAMP, $stamp;
    my ($seconds, $microseconds) = unpack 'l!l!', $stamp;
    return $seconds + $microseconds / 1e6;
}

sub checksum {
    my $sum = unpack '%32n*', $_[0];
    $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16;
    return ~$sum & 0xffff;
}

sub echo_request {
    my ($slot, $sequence) = @_;
    my $body = $cookie . pack('NN', $slot, $sequence) . ('.' x 40);
    my $header = pack 'CCnnn', ECHO_REQUEST, 0, 0, $$ & 0xffff, $sequence;
    substr($header, 2, 2) = pack 'n', checksum($header . $body);
    return $header . $body;
}

sub dns_query {
    my ($id, $name) = @_;
    return pack('nnnnnn', $id, 0x0100, 1, 0, 0, 0) . pack('(C/a*)*', split(/\./, $name)) . pack('Cnn', 0, 1, 1);
}

sub skip_name {
    my ($packet, $at) = @_;
    while ($at < length $packet) {
        my $length = ord substr $packet, $at, 1;
        return $at + 2 if $length >= 0xc0;
        $at += 1 + $length;
        return $at if $length == 0;
    }
    return $at;
}

# The first A record's address, or a word that says why there is none.
sub dns_answer {
    my ($packet) = @_;
    my ($id, $flags, $questions, $answers) = unpack 'nnnn', $packet;
    my $code = $flags & 0xf;
    return { 2 => 'servfail', 3 => 'nxdomain', 5 => 'refused' }->{$code} || "error $code" if $code;
    my $at = skip_name($packet, 12) + 4;
    for (1 .. $answers) {
        $at = skip_name($packet, $at);
        last if length $packet < $at + 10;
        my ($type, $class, $ttl, $length) = unpack 'nnNn', substr $packet, $at, 10;
        return inet_ntoa(substr $packet, $at + 10, 4) if $type == 1 && $length == 4;
        $at += 10 + $length;
    }
    return 'no address record';
}

my $icmp = icmp_socket();
my $dns;
my $start = now();
my (@names, @slots);    # @names: questions; @slots: one target by one way, with the times of its probes

sub add_slot {
    my ($target, $way, $address, $due) = @_;
    my $to = pack_sockaddr_in(0, inet_aton($address));
    push @slots, { target => $target, by => $way, address => $address, to => $to, due => $due, sent => [], ms => [] };
}

for my $pair (@targets) {
    my ($target, $address) = split /=/, $pair, 2;
    next if $target eq $source;
    push @names, { name => $target, due => $start, give_up => $start + $timeout } if $by{name};
    add_slot($target, 'address', $address, $by{name} ? $start + 0.1 : $start) if $by{address} && length $address;
}
if (@names) {
    socket($dns, AF_INET, SOCK_DGRAM, 0) or die "udp socket: $!\n";
    connect($dns, pack_sockaddr_in(53, inet_aton('127.0.0.11'))) or die "connect to 127.0.0.11: $!\n";
}
my $open_names = @names;

sub settle_name {
    my ($question, $answer) = @_;
    return if defined $question->{answer};
    $question->{answer} = $answer;
    report('dns', $source, $question->{name}, $answer);
    my $now = now();
    add_slot($question->{name}, 'name', $answer, $now) if $answer =~ /^\d+\.\d+\.\d+\.\d+$/;
    return if --$open_names;
    for my $slot (@slots) { $slot->{due} = $now if !@{ $slot->{sent} } }
}

sub ask_names {
    my ($now) = @_;
    for my $id (0 .. $#names) {
        my $question = $names[$id];
        next if defined $question->{answer};
        if ($now >= $question->{give_up}) { settle_name($question, 'timeout'); next }
        next if $now < $question->{due};
        send($dns, dns_query($id, $question->{name}), 0) or $! == ECONNREFUSED && settle_name($question, 'refused');
        $question->{due} = $now + $timeout / 2;
    }
}

sub send_echoes {
    for my $index (0 .. $#slots) {
        my $slot = $slots[$index];
        next if !defined $slot->{due} || now() < $slot->{due};
        my $sequence = @{ $slot->{sent} };
        $slot->{sent}[$sequence] = now();
        $slot->{sent_at}[$sequence] = Time::HiRes::time();
        $slot->{unsent}[$sequence] = "$!" if !defined send($icmp, echo_request($index, $sequence), 0, $slot->{to});
        $slot->{due} = $sequence + 1 < $count ? $slot->{sent}[$sequence] + $gap : undef;
        read_echoes();
    }
}

sub read_names {
    while (1) {
        my $from = recv $dns, my $packet, 4096, MSG_DONTWAIT;
        if (!defined $from) {
            last if $! != ECONNREFUSED;
            settle_name($_, 'refused') for @names;
            last;
        }
        my $id = unpack 'n', $packet;
        settle_name($names[$id], dns_answer($packet)) if $id <= $#names;
    }
}

sub read_echoes {
    while (defined recv $icmp, my $packet, 4096, MSG_DONTWAIT) {
        my $now = now();
        my $header = (ord($packet) & 0xf) * 4;
        next if length $packet < $header + 24 || substr($packet, $header + 8, 8) ne $cookie;
        my ($index, $sequence) = unpack 'NN', substr $packet, $header + 16, 8;
        my $slot = $slots[$index];
        my $elapsed = arrival($icmp) - $slot->{sent_at}[$sequence];
        $elapsed = $now - $slot->{sent}[$sequence] if $elapsed <= 0;    # somebody set the clock meanwhile
        next if defined $slot->{ms}[$sequence] || $elapsed > $timeout;
        $slot->{ms}[$sequence] = sprintf '%.3f', $elapsed * 1000;
        $slot->{due} = $now if defined $slot->{due} && $sequence == $#{ $slot->{sent} };
    }
}

# When something is next to be done: the earliest time, or undef when all is settled.
sub next_event {
    my ($now) = @_;
    my @times = map { ($_->{due}, $_->{give_up}) } grep { !defined $_->{answer} } @names;
    for my $slot (@slots) {
        my $last = $#{ $slot->{sent} };
        if (defined $slot->{due}) { push @times, $slot->{due}; next }
        next if $count == grep { defined } @{ $slot->{ms} };
        my $end = $slot->{sent}[$last] + $timeout;
        push @times, $end if $end > $now;
    }
    my ($first) = sort { $a <=> $b } @times;
    return $first;
}

while (1) {
    ask_names(now());
    send_echoes();
    my $now = now();
    my $next = next_event($now);
    last if !defined $next;
    my $ready = '';
    vec($ready, fileno $icmp, 1) = 1;
    vec($ready, fileno $dns, 1) = 1 if $dns;
    select $ready, undef, undef, $next > $now ? $next - $now : 0;
    read_names() if $dns;
    read_echoes();
}
for my $slot (@slots) {
    for my $sequence (0 .. $#{ $slot->{sent} }) {
        my $ms = defined $slot->{ms}[$sequence] ? $slot->{ms}[$sequence] : '-';
        report('echo', $source, @{$slot}{qw(target by address)}, $sequence, $ms, $slot->{unsent}[$sequence] || ());
    }
}
report('end', $source);
