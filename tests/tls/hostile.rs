//! A client that breaks the rules of TLS, or follows them as nobody else does: a script on tlslite-ng.
//!
//! It covers fragments, interleaving, alerts, long handshakes, records of every size, new keys and another handshake
//! on an open connection. The script says what each case is; here is what comes of it. `end` is FIN without an alert:
//! rustls has none for it, or the client has sent one itself.

use std::process::Command;

use crate::certificates::Configs;
use crate::child::{python, run};
use crate::front::Front;

/// Each case and its outcome.
const EXPECTED: &str = "\
1.2: a hello: server_hello
1.2: a hello in records of one byte: server_hello
1.2: a hello in segments of one byte: server_hello
1.2: a hello in two records, cut anywhere: server_hello
1.2: no suite that the server knows: handshake_failure
1.2: no extensions: handshake_failure
1.2: a hello with a byte behind its end: decode_error
1.3: a hello: server_hello
1.3: a hello in records of one byte: server_hello
1.3: a hello in segments of one byte: server_hello
1.3: a hello in two records, cut anywhere: server_hello
1.3: no suite that the server knows: handshake_failure
1.3: no extensions: handshake_failure
1.3: a hello with a byte behind its end: decode_error
an alert between the halves of a hello: end
data between the halves of a hello: end
a change of ciphers between the halves of a hello: end
an empty record between the halves of a hello: decode_error
a second hello: unexpected_message
data first: unexpected_message
a client key exchange first: unexpected_message
finished first: unexpected_message
a server hello first: decode_error
a change of ciphers first: unexpected_message
twenty changes of ciphers first: unexpected_message
a heartbeat first: decode_error
a record of no known kind: decode_error
a record of another major version: decode_error
a record longer than any may be: decode_error
empty records: decode_error
a hello of SSL 2: decode_error
HTTP in clear: decode_error
random bytes: decode_error
close_notify and FIN first: end
close_notify and FIN behind a hello: end
the client has cancelled: end
a fatal alert first: end
a hundred warnings first: end
an alert of three bytes: decode_error
a hello of 60,000 bytes: server_hello
a hello of 65,535 bytes: end
a hello of 65,536 bytes: end
a hello of 16 MiB is announced: end
a hello of 10,000 bytes in records of one: server_hello
a hello of 20,000 bytes in records of one: end
1.2: finished in clear: unexpected_message
1.2: a change of ciphers before the keys: unexpected_message
1.2: a point that is not on the curve: illegal_parameter
1.2: data before the end of the handshake: unexpected_message
1.2 open: data: served
1.2 open: records of one byte: served
1.2 open: 32 empty records: served
1.2 open: 33 empty records: end
1.2 open: the longest record: served
1.2 open: a record of a byte too many: record_overflow
1.2 open: a record that was changed: bad_record_mac
1.2 open: a record in clear: bad_record_mac
1.2 open: an alert in clear: bad_record_mac
1.2 open: a warning: served
1.2 open: a fatal alert: end
1.2 open: an alert that nobody knows: end
1.2 open: half an alert: decode_error
1.2 open: a request for a hello: unexpected_message
1.2 open: a certificate: decode_error
1.2 open: a ticket: decode_error
1.2 open: a change of ciphers: decode_error
1.2 open: data behind the end: served, last words served
1.2 open: an end without close_notify: reset
1.3 open: data: served
1.3 open: records of one byte: served
1.3 open: 32 empty records: served
1.3 open: 33 empty records: end
1.3 open: the longest record: served
1.3 open: a record of a byte too many: record_overflow
1.3 open: a record that was changed: bad_record_mac
1.3 open: a record in clear: bad_record_mac
1.3 open: an alert in clear: bad_record_mac
1.3 open: a warning: served
1.3 open: a fatal alert: end
1.3 open: an alert that nobody knows: end
1.3 open: half an alert: decode_error
1.3 open: a request for a hello: unexpected_message
1.3 open: a certificate: unexpected_message
1.3 open: a ticket: decode_error
1.3 open: a change of ciphers: unexpected_message
1.3 open: data behind the end: served, last words served
1.3 open: an end without close_notify: reset
1.2 open: another hello: no_renegotiation, served
1.2 open: another hello, twice: no_renegotiation, end
1.3 open: new keys with data between: served
1.3 open: new keys 32 times: served
1.3 open: new keys 33 times: end
1.3 open: new keys of no known kind: illegal_parameter
1.3 open: data between the halves of new keys: end
1.3 open: something behind new keys in their record: unexpected_message
1.3 open: a record with padding: served
1.3 open: a record with nothing but padding: end
1.3 open: another hello: unexpected_message
";

#[test]
fn every_breach_has_its_answer_and_others_are_served() {
    if run(Command::new("python3").args(["-c", "import tlslite"])).code != Some(0) {
        assert!(std::env::var_os("CI").is_none(), "tlslite-ng is not installed, and this is CI");
        eprintln!("SKIPPED: Python has no tlslite-ng");
        return;
    }
    let front = Front::with_last_words(Configs::for_programs().server);
    let Some(mut client) = python("tls_hostile.py") else { return };
    let end = run(client.arg(front.port()));
    let lines: Vec<_> = end.text().lines().collect();
    assert_eq!(lines, EXPECTED.lines().collect::<Vec<_>>(), "{}", end.stderr);
    assert_eq!(end.code, Some(0), "{end:?}");
}
