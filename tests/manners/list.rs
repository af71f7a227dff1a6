//! The scenarios. A new one is a line.

/// Scenarios by hand: what users of other loops reported, and what is special.
const LIST: &[&str] = &[
    // One connection, in order.
    "serve tcp; settle; c send 5; settle; s write 7; settle; c read; c close; settle",
    "serve unix; settle; c send 5; settle; s write 7; settle; c read; c close; settle",
    "reach; settle; c send 5; settle; s write 7; settle; c read; c close; settle",
    "serve tcp; c close; settle",
    "serve unix; c close; settle",
    "serve tcp; c fin; settle; c read",
    "serve unix; c fin; settle; c read",
    "serve tcp; c reset; settle",
    "serve unix; c reset; settle",
    "serve tcp; c send 5; c close; settle",
    "serve unix; c send 5; c close; settle",
    "serve tcp; c send 5; c reset; settle",
    "serve tcp; c send 5; c fin; settle; c read; c close; settle",
    "serve tcp half; settle; c fin; settle; s write 3; settle; c read; s close; settle; c read",
    "serve tcp half; settle; c close; settle; s write 3; settle; s write 3; settle",
    "serve tcp half; settle; c close; settle; s write 3; s write 3; settle",
    "serve tcp half; settle; c fin; settle; c reset; settle; s write 3; settle",
    "serve tcp half; settle; c fin; settle; s pause; c reset; settle",
    "serve unix half; settle; c close; settle; s write 3; settle",
    "serve unix half; settle; c fin; settle; s write 3; settle; c close; settle; s write 3; settle",
    // Writes that meet an end.
    "serve tcp; settle; s close; settle; c send 5; settle; c send 5; settle; c read",
    "serve unix; settle; s close; settle; c send 5; settle; c send 5; settle; c read",
    "serve tcp; settle; s abort; settle; c send 5; c read",
    "serve tcp; settle; s abort; settle; c read; c send 5",
    "serve unix; settle; s abort; settle; c read; c send 5",
    "serve tcp; settle; s fin; settle; c read; c send 5; settle; c close; settle",
    "serve unix; settle; s fin; settle; c read; c send 5; settle; c close; settle",
    "serve tcp; settle; s fin; settle; c fin; settle; c send 5; c read; settle",
    // Bytes that nobody reads.
    "serve tcp; settle; s write 3; settle; c close; settle",
    "serve unix; settle; s write 3; settle; c close; settle",
    "serve tcp; settle; s pause; settle; c send 5; settle; s abort; settle; c read",
    "serve unix; settle; s pause; settle; c send 5; settle; s abort; settle; c read",
    "serve tcp; settle; s pause; settle; c send 5; settle; s close; settle; c read",
    "serve tcp; settle; s pause; settle; c send 5; c fin; settle; s resume; settle",
    "serve tcp; settle; s pause; settle; c send 5; c reset; settle; s resume; settle",
    "serve tcp; settle; s pause; settle; c reset; settle",
    "serve unix; settle; s pause; settle; c close; settle; s resume; settle",
    "serve unix; settle; s pause; s write 3; settle; c close; settle; s resume; settle",
    // An answer that is closed at once.
    "serve tcp; settle; s write 536; s close; settle; c read; c close; settle",
    "serve tcp; settle; s write 537; s close; settle; c read; c close; settle",
    "serve tcp; settle; c send 5; s write 536; s close; settle; c read; c close; settle",
    "serve tcp; settle; c send 5; s write 537; s close; settle; c read; c close; settle",
    "serve unix; settle; c send 5; s write 536; s close; settle; c read; c close; settle",
    "serve tcp; settle; s write 536; s close; c reset; settle",
    "serve tcp; settle; s write 537; s close; c reset; settle",
    // Much at once, and the end right behind it.
    "serve tcp; settle; c send 50000; c fin; settle; c read",
    "serve unix; settle; c send 50000; c fin; settle; c read",
    "serve unix half; settle; c send 50000; c close; settle",
    "serve unix half; settle; s write 3; s fin; settle; c fin; c close; s close; settle",
    // More than fits.
    "serve tcp; settle; s write 16000000; settle; c drain; s close; settle; c read; c close; settle",
    "serve unix; settle; s write 2000000; settle; c drain; s close; settle; c read; c close; settle",
    "serve tcp; settle; s write 16000000; s close; settle; c drain; c close; settle",
    "serve unix; settle; s write 2000000; s close; settle; c drain; c close; settle",
    "serve tcp; settle; s write 16000000; settle; c reset; settle",
    "serve tcp; settle; s write 16000000; settle; c close; settle",
    "serve unix; settle; s write 2000000; settle; c close; settle",
    "serve tcp half; settle; c fin; settle; s write 16000000; settle; c drain; s close; settle; c read",
    "reach; settle; s write 16000000; settle; c drain; s fin; settle; c read; c close; settle",
    // Addresses in use.
    "listen A 127.0.0.1:0; listen B 127.0.0.1:$A",
    "listen A 0.0.0.0:0; listen B 127.0.0.1:$A",
    "listen A 0.0.0.0:0; listen B 0.0.0.0:$A",
    "listen A 127.0.0.1:0; listen B 0.0.0.0:$A",
    "listen A 127.0.0.1:0; listen B 127.0.0.2:$A; connect C 127.0.0.2:$B; settle",
    "listen A 127.0.0.1:0; listen B [::]:$A",
    "listen A 127.0.0.1:0; listen B [::]:$A v6only; connect C 127.0.0.1:$A; settle",
    "listen A 127.0.0.1:0; listen B [::1]:$A; connect C [::1]:$B; settle",
    "listen A [::]:0; listen B 127.0.0.1:$A",
    "listen A [::]:0; listen B 0.0.0.0:$A",
    "listen A [::]:0; listen B [::1]:$A",
    "listen A [::]:0 v6only; listen B 0.0.0.0:$A; connect C 127.0.0.1:$A; connect D [::1]:$A; settle",
    "listen A 127.0.0.1:0 share; listen B 127.0.0.1:$A share",
    "listen A 127.0.0.1:0 share; listen B 127.0.0.1:$A",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:$A share",
    "listen A 127.0.0.1:0; stop A; settle; listen B 127.0.0.1:$A",
    "listen A 127.0.0.1:0; connect C 127.0.0.1:$A; settle; stop A; settle; listen B 127.0.0.1:$A",
    "listen A 127.0.0.1:0; connect C 127.0.0.1:$A from 127.0.0.1:0; settle; listen B 127.0.0.1:$A",
    "listen A 192.0.2.99:0",
    "listen A [2001:db8::99]:0",
    "listen A [::ffff:127.0.0.1]:0 v6only",
    // Where a connection leads.
    "listen A 0.0.0.0:0; connect B 127.0.0.1:$A; settle",
    "listen A 0.0.0.0:0; connect B 127.0.0.7:$A; settle",
    "listen A 0.0.0.0:0; connect B 0.0.0.0:$A; settle",
    "listen A 127.0.0.1:0; connect B 0.0.0.0:$A; settle",
    "listen A 127.0.0.2:0; connect B 0.0.0.0:$A from 127.0.0.2:0; settle",
    "listen A 127.0.0.1:0; connect B 127.0.0.2:$A; settle",
    "listen A [::]:0; connect B 127.0.0.1:$A; settle",
    "listen A [::]:0; connect B [::1]:$A; settle",
    "listen A [::]:0; connect B [::]:$A; settle",
    "listen A [::]:0; connect B [::ffff:127.0.0.1]:$A; settle",
    "listen A [::]:0 v6only; connect B 127.0.0.1:$A; settle",
    "listen A [::1]:0; connect B 127.0.0.1:$A; settle",
    "listen A :0; connect B :$A; settle; connect C [::1]:$A; settle",
    "listen A 127.0.0.1:0; stop A; settle; connect B 127.0.0.1:$A; settle",
    "connect B 127.0.0.1:0; settle",
    "connect B [::1]:0; settle",
    "connect B 255.255.255.255:80; settle",
    "connect B 224.0.0.1:80; settle",
    // Where it comes from.
    "listen A 127.0.0.1:0; connect B 127.0.0.1:$A from 127.0.0.9:0; settle",
    "listen A 127.0.0.1:0; connect B 127.0.0.1:$A from 0.0.0.0:0; settle",
    "listen A 127.0.0.1:0; connect B 127.0.0.1:$A from 192.0.2.99:0; settle",
    "listen A 127.0.0.1:0; connect B 127.0.0.1:$A from [::1]:0; settle",
    "listen A [::1]:0; connect B [::1]:$A from 127.0.0.1:0; settle",
    "listen A [::]:0; connect B [::ffff:127.0.0.1]:$A from [::1]:0; settle",
    "listen A [::]:0; connect B [::1]:$A from [::ffff:127.0.0.1]:0; settle",
    "listen A [::]:0; connect B [::]:$A from [::ffff:127.0.0.1]:0; settle",
    "listen A 127.0.0.1:0; connect B 127.0.0.1:$A from 127.0.0.1:$A; settle",
    "listen A 127.0.0.1:0; listen X 0.0.0.0:0; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; listen X 127.0.0.1:0; connect B 127.0.0.1:$A from 127.0.0.2:$X; settle",
    "listen A 127.0.0.2:0; connect B 127.0.0.1:$A; connect C 127.0.0.2:$A from 127.0.0.1:$A; settle",
    "connect B 192.0.2.99:80 from 127.0.0.1:0; settle",
    // From a port that is in use.
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; listen Y 127.0.0.1:$X",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; port X; connect C 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     connect D 127.0.0.1:$B from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     connect C 127.0.0.1:$A from 127.0.0.2:$X; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     connect C 127.0.0.1:$A from 0.0.0.0:$X; settle",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; port X; connect C 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     connect D 127.0.0.1:$B from 127.0.0.1:$X alone; settle",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; port X; connect C 127.0.0.1:$A from 127.0.0.1:$X alone; \
     settle; connect D 127.0.0.1:$B from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; port X; connect C 127.0.0.1:$A from 127.0.0.1:$X alone share; \
     settle; connect D 127.0.0.1:$B from 127.0.0.1:$X alone share; settle",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; port X; connect C 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     listen Y 127.0.0.1:$X; connect D 127.0.0.1:$B from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; connect C 127.0.0.1:$A; settle; stop A; settle; \
     connect D 127.0.0.1:$B from 127.0.0.1:$A; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; stop A; settle; \
     connect C 127.0.0.1:$X from 127.0.0.1:$A; settle",
    "listen A 127.0.0.1:0 backlog 0 paused; connect B 127.0.0.1:$A; settle; port X; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X; settle; connect D 127.0.0.1:$A from 127.0.0.1:$X; settle",
    "port X; port Y; connect B 127.0.0.1:$Y from 127.0.0.1:$X; settle; \
     connect C 127.0.0.1:$Y from 127.0.0.1:$X alone; settle",
    // From a port in TIME_WAIT, or one whose connection is over without that.
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; close B; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; listen B 127.0.0.1:0; port X; connect C 127.0.0.1:$A from 127.0.0.1:$X; settle; \
     close C; settle; connect D 127.0.0.1:$B from 127.0.0.1:$X; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; close B; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X alone; settle; listen Y 127.0.0.1:$X",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; close A; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X alone; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; abort B; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X alone; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; abort A; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X alone; settle",
    "listen A 127.0.0.1:0; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; close B; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X; settle; abort C; settle; \
     connect D 127.0.0.1:$A from 127.0.0.1:$X alone; settle",
    "listen A 127.0.0.1:0 half; port X; connect B 127.0.0.1:$A from 127.0.0.1:$X; settle; close B; settle; \
     connect C 127.0.0.1:$A from 127.0.0.1:$X; settle",
    // To itself.
    "port X; connect B 127.0.0.1:$X from 127.0.0.1:$X; settle; listen Y 127.0.0.1:$X",
    "port X; connect B 127.0.0.1:$X from 0.0.0.0:$X; settle; connect C 127.0.0.1:$X from 127.0.0.1:$X; settle",
    "port X; connect B 0.0.0.0:$X from 127.0.0.1:$X; settle; connect C 127.0.0.1:$X from 127.0.0.1:$X alone; settle",
    "port X; connect B [::1]:$X from [::1]:$X; settle",
    "port X; connect B 127.0.0.1:$X from 127.0.0.2:$X; settle",
    "listen A 127.0.0.1:0 share; connect B 127.0.0.1:$A from 127.0.0.1:$A share; settle",
    // The queue of a listener.
    "listen A 127.0.0.1:0 backlog 1 paused; settle; connect B 127.0.0.1:$A; settle; \
     connect C 127.0.0.1:$A; settle; connect D 127.0.0.1:$A; settle",
    "listen A 127.0.0.1:0 backlog 0 paused; settle; connect B 127.0.0.1:$A; settle; \
     connect C 127.0.0.1:$A; settle",
    "listen A unix:$PATH backlog 1 paused; settle; connect B unix:$PATH; settle; connect C unix:$PATH; \
     settle; connect D unix:$PATH; settle",
    "listen A 127.0.0.1:0 paused; settle; connect B 127.0.0.1:$A; settle; stop A; settle",
    "listen A unix:$PATH paused; settle; connect B unix:$PATH; settle; stop A; settle",
    // Paths.
    "listen A unix:$PATH; connect B unix:$PATH; settle; close B; settle",
    "listen A unix:$PATH; listen B unix:$PATH; settle",
    "listen A unix:$PATH; stop A; settle; connect B unix:$PATH; settle",
    "listen A unix:$PATH; stop A; settle; listen B 127.0.0.1:0; connect C unix:$PATH; settle",
    "listen A unix:$PATH; stop A; settle; listen B unix:$PATH; connect C unix:$PATH; settle",
    "connect B unix:$PATH; settle",
    "listen A unix:; connect B unix:; settle",
    // 108 bytes: one more than fits.
    "listen A unix:/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/1234567; \
     connect B unix:/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/1234567; \
     settle",
    "connect B unix:@$NAME; settle",
    "listen A unix:@$NAME; listen B unix:@$NAME; connect C unix:@$NAME; settle; stop A; connect D unix:@$NAME; settle",
    "listen A unix:$PATH; connect B unix:$PATH from 127.0.0.1:0; settle",
    // Datagrams.
    "bind U 127.0.0.1:0; bind V 127.0.0.1:0; send U 127.0.0.1:$V 5; settle",
    "bind U 127.0.0.1:0; bind V 127.0.0.1:$U",
    "bind U 127.0.0.1:0; bind V 0.0.0.0:$U",
    "bind U 0.0.0.0:0; bind V 127.0.0.1:$U",
    "bind U 127.0.0.1:0; bind V 127.0.0.2:$U",
    "bind U 127.0.0.1:0; bind V [::]:$U",
    "bind U 127.0.0.1:0; bind V [::1]:$U",
    "bind U [::]:0; bind V 127.0.0.1:$U",
    "bind U [::]:0 v6only; bind V 127.0.0.1:$U",
    "bind U 127.0.0.1:0 reuse; bind V 127.0.0.1:$U reuse",
    "bind U 127.0.0.1:0 reuse; bind V 127.0.0.1:$U",
    "bind U 127.0.0.1:0 reuse; bind V 127.0.0.1:$U share",
    "bind U 127.0.0.1:0 share; bind V 127.0.0.1:$U share",
    "bind U 127.0.0.1:0 reuse; bind V 127.0.0.1:$U reuse; bind W 127.0.0.1:0; send W 127.0.0.1:$U 5; settle",
    "bind U 127.0.0.1:0 reuse; bind V 0.0.0.0:$U reuse; bind W 127.0.0.1:0; send W 127.0.0.1:$U 5; settle",
    "bind U 192.0.2.99:0",
    "bind U [::ffff:127.0.0.1]:0; bind V 127.0.0.1:0; send U 127.0.0.1:$V 5; settle; send V 127.0.0.1:$U 5; settle",
    "bind U [::ffff:127.0.0.1]:0 v6only",
    "listen A 127.0.0.1:0; bind U 127.0.0.1:$A",
    "bind U 127.0.0.1:0; send U 127.0.0.1:0 5",
    "bind U 127.0.0.1:0; send U 255.255.255.255:9 5",
    "bind U 127.0.0.1:0; join U 255.255.255.255:9",
    "bind U 0.0.0.0:0; join U 255.255.255.255:9",
    "bind U 127.0.0.1:0; send U 192.0.2.99:9 5",
    "bind U 127.0.0.1:0; join U 192.0.2.99:9",
    "bind U 127.0.0.1:0; send U [::1]:9 5",
    "bind U [::1]:0; send U 127.0.0.1:9 5",
    "bind U [::1]:0; join U 127.0.0.1:9",
    "bind U [::ffff:127.0.0.1]:0; send U [::1]:9 5",
    "bind U [::1]:0; send U 255.255.255.255:9 5",
    "bind U [::ffff:127.0.0.1]:0; bind V 127.0.0.1:0; send U [::]:$V 5; settle",
    "bind U [::]:0; bind V 127.0.0.1:0; join U [::1]:9; send U 127.0.0.1:$V 5",
    "bind U [::]:0; bind V [::1]:0; join U 127.0.0.1:9; send U [::1]:$V 5",
    "bind U 127.0.0.1:0; join U [::1]:9",
    "bind U 127.0.0.1:0; send U 127.0.0.1:9 65508",
    "bind U 127.0.0.1:0; send U 5",
    // Of two faults one is told.
    "bind U 127.0.0.1:0; send U 65536",
    "bind U [::]:0; send U 65536",
    "bind U 127.0.0.1:0; send U [::1]:0 5; send U [::1]:9 65535; send U [::1]:9 65536",
    "bind U 127.0.0.1:0; send U 127.0.0.1:0 65535; send U 127.0.0.1:0 65536; send U 255.255.255.255:9 65508",
    "bind U [::1]:0; send U 127.0.0.1:0 5; send U 127.0.0.1:9 65536; send U [::1]:0 65536",
    "bind U [::]:0 v6only; send U 127.0.0.1:0 5; send U 127.0.0.1:9 65536",
    "bind U [::]:0; send U 127.0.0.1:0 5; send U 127.0.0.1:0 65536",
    "bind U [::ffff:127.0.0.1]:0; send U [::1]:0 5; send U 127.0.0.1:0 65536",
    "bind U 0.0.0.0:0; bind V 127.0.0.1:0; send V 127.0.0.1:$U 5; settle; send V 127.0.0.3:$U 5; settle",
    "bind U 127.0.0.1:0; bind V 0.0.0.0:0; send V 0.0.0.0:$U 5; settle",
    "bind U 127.0.0.2:0; bind V 127.0.0.2:0; send V 0.0.0.0:$U 5; join V 0.0.0.0:$U; settle",
    "bind U 0.0.0.0:0; bind V 127.0.0.1:0; join U 127.0.0.1:$V; send U 5; settle",
    "bind U [::]:0; bind V 127.0.0.1:0; send V 127.0.0.1:$U 5; settle; send U 127.0.0.1:$V 5; settle",
    "bind U [::]:0 v6only; bind V 127.0.0.1:0; send V 127.0.0.1:$U 5; settle; send U 127.0.0.1:$V 5; settle",
    "bind U [::1]:0; bind V [::]:0; send V [::1]:$U 5; settle; send U [::1]:$V 5; settle",
    "bind U 127.0.0.1:0; bind V 127.0.0.1:0; join U 127.0.0.1:$V; bind W 127.0.0.1:0; send W 127.0.0.1:$U 5; settle",
    "bind U 127.0.0.1:0; bind V 127.0.0.1:0; join U 127.0.0.1:$V; unbind V; settle; send U 5; settle; send U 5; settle",
    "bind U 127.0.0.1:0; bind V 127.0.0.1:0; unbind V; settle; send U 127.0.0.1:$V 5; settle",
    // A socket is told that nobody is at an address only if it is connected to it.
    "bind U 127.0.0.1:0; bind V 127.0.0.1:0; bind W 127.0.0.1:0; join U 127.0.0.1:$V; unbind W; settle; \
     send U 127.0.0.1:$W 5; settle; unbind V; settle; send U 127.0.0.1:$V 5; settle",
    "bind U 127.0.0.1:0; bind V 127.0.0.1:0; bind W 127.0.0.1:0; unbind V; settle; send U 127.0.0.1:$V 5; \
     join U 127.0.0.1:$W; settle",
    "bind U 127.0.0.1:0 reuse; bind V 127.0.0.1:$U reuse; bind W 127.0.0.1:0; join V 127.0.0.1:$W; unbind W; \
     settle; send U 127.0.0.1:$W 5; settle",
    "bind U 127.0.0.1:0; join U 224.0.0.1:9; send U 5; settle",
    "bind U 127.0.0.1:0 broadcast; join U 255.255.255.255:9; send U 5; settle",
    "bind U 127.0.0.1:0; unbind U; settle; bind V 127.0.0.1:$U",
];

/// The deeds of the far end and of the protocol, and their order.
const FAR: [&str; 8] = [
    "",
    "c fin",
    "c close",
    "c reset",
    "c send 5",
    "c send 5; c fin",
    "c send 5; c close",
    "c send 5; c reset",
];
const NEAR: [&str; 9] = [
    "",
    "s write 3",
    "s fin",
    "s close",
    "s abort",
    "s write 3; s fin",
    "s write 3; s close",
    "s pause",
    "s pause; s write 3",
];

/// The deeds of the far end after that.
const AGAIN: [&str; 4] = ["c send 5", "c fin", "c close", "c reset"];

/// The deeds of both at the end, so that nothing stays hidden.
const END: &str = "c send 2; settle; c read; s resume; settle; s write 1; settle; c read; s close; settle; \
                   c read; c close; settle";

pub fn by_hand() -> Vec<String> {
    LIST.iter().map(|line| (*line).to_owned()).collect()
}

/// Each action of one side with each of the other, in each order, with and without rest between them.
pub fn orders(opening: &str) -> Vec<String> {
    let mut all = Vec::new();
    for half in ["", " half"] {
        for far in FAR {
            for near in NEAR {
                let orders = [
                    [far, "settle", near],
                    [near, "settle", far],
                    [far, near, "settle"],
                    [near, far, "settle"],
                ];
                let again = AGAIN.map(|last| [far, "settle", near, "settle", last]);
                let orders = orders.iter().map(|order| &order[..]);
                for order in orders.chain(again.iter().map(|order| &order[..])) {
                    let acts = order.iter().copied().filter(|act| !act.is_empty());
                    let begin = format!("{opening}{half}; settle");
                    let steps = [begin.as_str()].into_iter().chain(acts).chain(["settle", END]);
                    all.push(steps.collect::<Vec<_>>().join("; "));
                }
            }
        }
    }
    all
}
