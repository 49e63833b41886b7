# Runs inside one container's network namespace and probes all of its peers at once.
#
# usage: perl -e PROGRAM SOURCE COUNT TIMEOUT BY PORT TARGET=ADDRESS ...
#        BY is "name", "address" or "name,address"; PORT is 0 for echo requests alone; ADDRESS may be empty
#
# Prints one line a fact, its fields separated by tabs:
#     listen  SOURCE                                            (peers can connect to it)
#     dns     SOURCE  TARGET  ADDRESS or the reason why there is none
#     echo    SOURCE  TARGET  BY  ADDRESS  SEQUENCE  MILLISECONDS or "-"
#     size    SOURCE  TARGET  WANTED  LARGEST  SENT  ANSWERED   (bytes of an IP packet that must not be fragmented)
#     tcp     SOURCE  TARGET  "passed", "refused" or the reason why not
#     end     SOURCE
#
# All names are asked at once, SOURCE's own too, which the engine surely knows. First echo requests wait for the names (at most 0.1 s), so that the cold probes
# by name and by address leave together. A probe that is answered is followed by the next one right away, one
# that is not after TIMEOUT / COUNT; each is waited for TIMEOUT seconds.
#
# A target's first answer starts two more probes: an echo request as large as the interface takes (again where it is
# lost, ten in all where the second passes, else smaller ones, all at once), and a connection to PORT, where the target's own prober sends back what it
# gets: three times the interface's MTU, so more than one segment each way.
use strict;
use warnings;
use Errno qw(EAGAIN ECONNREFUSED EINPROGRESS);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use constant {
    ECHO_REPLY => 0, ECHO_REQUEST => 8, SOL_RAW => 255, ICMP_FILTER => 1, SO_RCVBUFFORCE => 33, SIOCGSTAMP => 0x8906,
    SIOCGIFMTU => 0x8921, SOL_IP => 0, IP_MTU_DISCOVER => 10, IP_PMTUDISC_PROBE => 3
};
use constant { SMALL => 84, FULL_TRIES => 2, FULL_MOST => 10, STEP => 50, MOST => 1 << 18 };

my ($source, $count, $timeout, $by, $port, @targets) = @ARGV;
my %by = map { $_ => 1 } split /,/, $by;
my $gap = $timeout / $count < 0.01 ? 0.01 : $timeout / $count;
my $cookie = pack 'NN', $$, int(rand(2**32));

$SIG{PIPE} = 'IGNORE';
sub now { return clock_gettime(CLOCK_MONOTONIC) }
sub report { syswrite STDOUT, join("\t", @_) . "\n" }

sub icmp_socket {
    socket(my $icmp, AF_INET, SOCK_RAW, getprotobyname('icmp') || 1) or die "raw socket: $!\n";
    setsockopt $icmp, SOL_RAW, ICMP_FILTER, pack('L', ~(1 << ECHO_REPLY) & 0xffffffff);
    setsockopt $icmp, SOL_SOCKET, SO_RCVBUFFORCE, pack('i', 4 << 20);
    # "do not fragment", whatever the kernel has learned of the path before
    setsockopt $icmp, SOL_IP, IP_MTU_DISCOVER, pack('i', IP_PMTUDISC_PROBE);
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
    my ($slot, $sequence, $size) = @_;
    my $body = $cookie . pack('NN', $slot, $sequence) . ('.' x ($size - 44));
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

my ($icmp, $dns, $start) = (icmp_socket(), undef, now());
my (@names, @slots);    # @names: questions; @slots: one target by one way (or size), with the times of its probes
my (%full, %calls, $listener, @guests, %served);    # by target: packets of full size, our call; who calls us
my $patience = 4 + $timeout;            # for a connection: its kernel repeats what is lost, its peer may be slow
# For a peer whose prober starts later than this one; one of shell probes six targets at a time.
my $linger = $start + 2 * $patience + int(@targets / 6) * (2 * $patience + $count);

sub add_slot {
    my ($target, $way, $address, $due, $size, $most) = @_;
    my $to = pack_sockaddr_in(0, inet_aton($address));
    push @slots, {
        target => $target, by => $way, address => $address, to => $to, due => $due, sent => [], ms => [],
        size => $size || SMALL, most => $most || $count, answers => 0,
    };
    return $slots[-1];
}

# The MTU of the interface that leads to an address. (/sys is the node's own, not that of this namespace.)
sub mtu_towards {
    my ($address) = @_;
    my ($wanted, $best, $interface) = (unpack('L', inet_aton($address)), -1, '');
    open(my $routes, '<', '/proc/self/net/route') or return 0;
    while (my $line = <$routes>) {
        my ($name, $network, $mask) = (split ' ', $line)[0, 1, 7];
        next if !defined $mask || $mask =~ /[^0-9A-F]/ || ($wanted & hex $mask) != hex $network;
        my $bits = unpack '%32b*', pack 'L', hex $mask;
        ($best, $interface) = ($bits, $name) if $bits > $best;
    }
    my $request = pack 'a16x24', $interface;
    return ioctl($icmp, SIOCGIFMTU, $request) ? unpack('x16i', $request) : 0;
}

# What the first answer of a target starts.
sub carry {
    my ($target, $address, $now) = @_;
    return if !$port || $full{$target};
    my $mtu = mtu_towards($address);
    $full{$target} = { rungs => [], slot => $mtu > SMALL && add_slot($target, '', $address, $now, $mtu, FULL_TRIES) };
    $calls{$target} = { target => $target, address => $address, length => 3 * ($mtu || 1500) };
    call($calls{$target});
}

# Where every packet of full size was lost, smaller ones tell how much passes.
sub try_smaller {
    my ($now) = @_;
    for my $own (values %full) {
        my $slot = $own->{slot};
        next if !$slot || $slot->{answers} || defined $slot->{due} || $own->{searched};
        next if $now < $slot->{sent}[-1] + $timeout;
        $own->{searched} = 1;
        for (my $size = $slot->{size} - STEP; $size > SMALL; $size -= STEP) {
            push @{ $own->{rungs} }, add_slot($slot->{target}, '', $slot->{address}, $now, $size, 1);
        }
    }
}

sub unblocked { fcntl($_[0], F_SETFL, fcntl($_[0], F_GETFL, 0) | O_NONBLOCK); return $_[0] }
sub stream {
    socket(my $stream, AF_INET, SOCK_STREAM, 0) or die "tcp socket: $!\n";
    return unblocked($stream);
}

sub listen_for_peers {
    my $stream = stream();
    return if !bind($stream, pack_sockaddr_in($port, INADDR_ANY)) || !listen $stream, 1024;
    report('listen', $source);
    $listener = $stream;
}

sub call {
    my ($call) = @_;
    my $name = "from=$source\n";    # a prober of shell has no other way to know who calls
    my $out = pack('N', $call->{length}) . $name . '.' x ($call->{length} - length $name);
    @{$call}{qw(socket out got connected due give_up)} = (stream(), $out, 0, 0, undef, now() + $patience);
    return if connect($call->{socket}, pack_sockaddr_in($port, inet_aton($call->{address}))) || $! == EINPROGRESS;
    end_call($call, $!);
}

sub end_call {    # a peer that refuses has not begun yet: it is called again
    my ($call, $error) = @_;
    close delete $call->{socket};
    if ($error == ECONNREFUSED && now() < $linger) { $call->{due} = now() + 0.05 }
    else { $call->{result} = $error == ECONNREFUSED ? 'refused' : "$error" }
}

sub write_out {
    my ($talk) = @_;
    my $written = length $talk->{out} ? syswrite $talk->{socket}, $talk->{out} : 0;
    substr $talk->{out}, 0, $written, '' if $written;
    return defined $written || $! == EAGAIN;
}

sub go_on {
    my ($call, $readable, $writable) = @_;
    return if !$readable && !$writable;
    if (!$call->{connected}) {
        $! = unpack 'i', getsockopt $call->{socket}, SOL_SOCKET, SO_ERROR;
        return end_call($call, $!) if $!;
        $call->{connected} = 1;
    }
    write_out($call) or return end_call($call, $!);
    return if !$readable;
    my $read = sysread $call->{socket}, my $data, 65536;
    if (!defined $read) { return $! == EAGAIN ? undef : end_call($call, $!) }
    $call->{got} += $read;
    return if $read && $call->{got} < $call->{length};
    $call->{result} = $read ? 'passed' : "closed after $call->{got} of $call->{length} bytes";
    close delete $call->{socket};
}

sub give_up_calls {
    my ($now) = @_;
    for my $call (values %calls) {
        next if $call->{result};
        if (defined $call->{due}) { call($call) if $now >= $call->{due} }
        elsif ($now >= $call->{give_up}) {
            my $so_far = "$call->{got} of $call->{length} bytes came back in $patience s";
            $call->{result} = $call->{connected} ? "connected, but $so_far" : "no connection in $patience s";
            # its data is still on the way and would keep the peer waiting: this resets the connection
            setsockopt $call->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
            close delete $call->{socket};
        }
    }
}

sub greet {
    while (my $peer = accept my $socket, $listener) {
        my $address = inet_ntoa((unpack_sockaddr_in($peer))[1]);
        push @guests, { socket => unblocked($socket), address => $address, in => '', out => '', open => 1 };
    }
}

# A guest first says how many bytes it sends, and gets as many.
sub serve {
    my ($guest, $readable) = @_;
    if ($readable) {
        my $read = sysread $guest->{socket}, $guest->{in}, 65536, length $guest->{in};
        $guest->{open} = 0 if defined $read ? !$read : $! != EAGAIN;
        my $length = length $guest->{in} < 4 ? MOST : unpack 'N', $guest->{in};
        ($guest->{out}, $guest->{in}) = ('.' x $length, '') if length $guest->{in} >= 4 + $length;
    }
    $guest->{open} = 0 if !write_out($guest);
    $served{ $guest->{address} } = 1 if !$guest->{open};
}

# Until when peers may still connect: long where they answered us, else as long as an answer takes.
sub open_until {
    return $listener ? $linger : 0 if !$listener || @guests || grep { !$served{ $_->{address} } } values %calls;
    return keys(%served) < grep({ index $_, "$source=" } @targets) ? $start + $timeout : 0;
}

for my $pair (@targets) {
    my ($target, $address) = split /=/, $pair, 2;
    next if $target eq $source;
    push @names, { name => $target, due => $start, give_up => $start + $timeout } if $by{name};
    add_slot($target, 'address', $address, $by{name} ? $start + 0.1 : $start) if $by{address} && length $address;
}
if (@names) {
    push @names, { name => $source, due => $start, give_up => $start + $timeout };
    socket($dns, AF_INET, SOCK_DGRAM, 0) or die "udp socket: $!\n";
    connect($dns, pack_sockaddr_in(53, inet_aton('127.0.0.11'))) or die "connect to 127.0.0.11: $!\n";
}
my $open_names = @names;
listen_for_peers() if $port;

sub settle_name {
    my ($question, $answer) = @_;
    return if defined $question->{answer};
    $question->{answer} = $answer;
    report('dns', $source, $question->{name}, $answer);
    my $now = now();
    add_slot($question->{name}, 'name', $answer, $now) if $question->{name} ne $source && $answer =~ /^\d+\.\d+\.\d+\.\d+$/;
    return if --$open_names;
    for my $slot (@slots) { $slot->{due} = $now if !@{ $slot->{sent} } }
}

# Nothing at port 53: the engine's name server listens at another one, to which rules of this namespace lead.
sub closed {
    open(my $sockets, '<', '/proc/self/net/udp') or return 'closed';
    return (grep { / 0B00007F:/ } <$sockets>) ? 'no rule' : 'closed';
}

sub ask_names {
    my ($now) = @_;
    for my $id (0 .. $#names) {
        my $question = $names[$id];
        next if defined $question->{answer};
        if ($now >= $question->{give_up}) { settle_name($question, 'timeout'); next }
        next if $now < $question->{due};
        send($dns, dns_query($id, $question->{name}), 0) or $! == ECONNREFUSED && settle_name($question, closed());
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
        $slot->{unsent}[$sequence] = "$!"
            if !defined send($icmp, echo_request($index, $sequence, $slot->{size}), 0, $slot->{to});
        $slot->{due} = $sequence + 1 < $slot->{most} ? $slot->{sent}[$sequence] + ($slot->{by} || $slot->{answers} ? $gap : $timeout) : undef;
        read_echoes();
    }
}

sub read_names {
    while (1) {
        my $from = recv $dns, my $packet, 4096, MSG_DONTWAIT;
        if (!defined $from) {
            last if $! != ECONNREFUSED;
            settle_name($_, closed()) for @names;
            last;
        }
        my $id = unpack 'n', $packet;
        settle_name($names[$id], dns_answer($packet)) if $id <= $#names;
    }
}

sub read_echoes {
    while (defined recv $icmp, my $packet, 65536, MSG_DONTWAIT) {
        my $now = now();
        my $header = (ord($packet) & 0xf) * 4;
        next if length $packet < $header + 24 || substr($packet, $header + 8, 8) ne $cookie;
        my ($index, $sequence) = unpack 'NN', substr $packet, $header + 16, 8;
        my $slot = $slots[$index];
        my $elapsed = arrival($icmp) - $slot->{sent_at}[$sequence];
        $elapsed = $now - $slot->{sent}[$sequence] if $elapsed <= 0;    # somebody set the clock meanwhile
        next if defined $slot->{ms}[$sequence] || $elapsed > $timeout;
        $slot->{ms}[$sequence] = sprintf '%.3f', $elapsed * 1000;
        $slot->{answers}++;
        $slot->{due} = $now if defined $slot->{due} && $sequence == $#{ $slot->{sent} };
        if ($slot->{by}) { carry(@{$slot}{qw(target address)}, $now) }
        elsif (@{ $slot->{sent} } == 1) { @{$slot}{qw(due most)} = (undef, 1) }    # one answer is enough where none is lost
        else { @{$slot}{qw(due most)} = (@{ $slot->{sent} } < FULL_MOST ? $now : undef, FULL_MOST) }
    }
}

# When something is next to be done: the earliest time, or undef when all is settled.
sub next_event {
    my ($now) = @_;
    my @times = map { ($_->{due}, $_->{give_up}) } grep { !defined $_->{answer} } @names;
    for my $slot (@slots) {
        my $last = $#{ $slot->{sent} };
        if (defined $slot->{due}) { push @times, $slot->{due}; next }
        next if $slot->{answers} == $slot->{most};
        my $end = $slot->{sent}[$last] + $timeout;
        push @times, $end if $end > $now;
    }
    push @times, map { $_->{due} // $_->{give_up} } grep { !$_->{result} } values %calls;
    push @times, grep { $now < $_ } open_until();
    my ($first) = sort { $a <=> $b } @times;
    return $first;
}

while (1) {
    ask_names(now());
    try_smaller(now());
    give_up_calls(now());
    send_echoes();
    my $now = now();
    my $next = next_event($now);
    last if !defined $next;
    my $ready = '';
    vec($ready, fileno $icmp, 1) = 1;
    vec($ready, fileno $dns, 1) = 1 if $dns;
    vec($ready, fileno $listener, 1) = 1 if $listener;
    my @talks = grep { $_->{socket} } values %calls;
    my $free = '';
    vec($ready, fileno $_->{socket}, 1) = 1 for @talks, @guests;
    vec($free, fileno $_->{socket}, 1) = 1 for grep { length $_->{out} } @talks, @guests;
    select $ready, $free, undef, $next > $now ? $next - $now : 0;
    read_names() if $dns;
    read_echoes();
    for my $call (@talks) { go_on($call, map { vec $_, fileno $call->{socket}, 1 } $ready, $free) }
    for my $guest (@guests) { serve($guest, vec $ready, fileno $guest->{socket}, 1) }
    @guests = grep { $_->{open} } @guests;
    greet() if $listener && vec $ready, fileno $listener, 1;
}
for my $slot (grep { $_->{by} } @slots) {
    for my $sequence (0 .. $#{ $slot->{sent} }) {
        my $ms = defined $slot->{ms}[$sequence] ? $slot->{ms}[$sequence] : '-';
        report('echo', $source, @{$slot}{qw(target by address)}, $sequence, $ms, $slot->{unsent}[$sequence] || ());
    }
}
for my $target (keys %full) {
    my ($slot, @rungs) = ($full{$target}{slot}, @{ $full{$target}{rungs} });
    if (!$slot) { report('size', $source, $target, 'full size not tried: the interface tells no MTU'); next }
    my ($largest) = sort { $b <=> $a } SMALL, map { $_->{size} } grep { $_->{answers} } $slot, @rungs;
    report('size', $source, $target, $slot->{size}, $largest, scalar @{ $slot->{sent} }, $slot->{answers});
}
report('tcp', $source, $_->{target}, $_->{result}) for values %calls;
report('end', $source);
