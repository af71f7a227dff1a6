//! Headers, and a listener that reads them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use crocus::proxy::{Network, Version};
use crocus::{Address, Factory, Listen, ListenerId, Notice, Observer, Protocol, Reason, Transport};

use crate::util::{Log, Recorder, World};

pub(crate) const CLIENT: &str = "203.0.113.7:4711";

pub(crate) fn address(text: &str) -> Address {
    Address::Tcp(text.parse().unwrap())
}

/// A header of each version that names this client.
pub(crate) fn headers_of(client: &str) -> [Vec<u8>; 2] {
    let (client, to) = (address(client), address("198.51.100.1:80"));
    [Version::V1, Version::V2].map(|version| version.header(&client, &to))
}

pub(crate) fn header() -> Vec<u8> {
    headers_of(CLIENT)[0].clone()
}

pub(crate) fn local_networks() -> [Network; 2] {
    ["127.0.0.0/8".parse().unwrap(), Network::unix()]
}

pub(crate) fn place() -> Listen {
    Listen::at("127.0.0.1:0").proxy_protocol(local_networks())
}

/// Makes recorders of the name `s`, which write down whose connection they have and by which proxy.
#[derive(Clone)]
pub(crate) struct Seeing(pub(crate) Log);

impl Seeing {
    pub(crate) fn recorder(&self) -> Recorder {
        let log = self.0.clone();
        Recorder::new(&self.0, "s").with_data().on_made(move |transport| {
            log.push(format!("of {}", who(transport)));
        })
    }
}

/// The client, and what the header says beside it.
pub(crate) fn who(transport: &Transport) -> String {
    let Some(info) = transport.proxy() else { return "nobody has said".to_owned() };
    let (client, proxy) = (transport.peer_addr(), info.proxy());
    assert!(proxy.ip().is_none_or(|ip| ip.is_loopback()), "{proxy}");
    match info.destination() {
        Some(destination) => format!("{client} at {destination}"),
        None => {
            assert_eq!((client, info.is_local()), (proxy, true));
            "the proxy".to_owned()
        }
    }
}

impl Factory for Seeing {
    fn build_protocol(&mut self, peer: Address) -> Option<Box<dyn Protocol>> {
        self.0.push(match peer.ip().is_some_and(|ip| ip.is_loopback()) {
            true => "built for the proxy".to_owned(),
            false => format!("built for {peer}"),
        });
        Some(Box::new(self.recorder()))
    }
}

/// A listener of a kind, and its log.
pub(crate) fn served(world: &mut World, place: Listen) -> (Log, ListenerId, SocketAddr) {
    let log = Log::new();
    let id = world.reactor().listen(place, Seeing(log.clone())).unwrap();
    let addr = world.reactor().local_addr(id).unwrap().socket_addr().unwrap();
    (log, id, addr)
}

/// The text of a reason that a header has.
pub(crate) fn fault(reason: &Reason) -> String {
    match reason {
        Reason::Proxy { error } => format!("{:?}", error.fault()),
        other => format!("{other:?}"),
    }
}

/// Notices of connections, as an observer hears them: `opened`, `identified ADDRESS`, `turned away REASON`, `gone ADDRESS REASON`;
/// an address of this machine is `here`.
#[derive(Clone, Default)]
pub(crate) struct Heard(Rc<RefCell<Vec<String>>>);

impl Heard {
    pub(crate) fn at(world: &mut World) -> Self {
        let heard = Self::default();
        world.reactor().set_observer(Some(Box::new(heard.clone())));
        heard
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut())
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.0.borrow().iter().any(|heard| heard == line)
    }
}

impl Observer for Heard {
    fn notice(&mut self, _: Instant, notice: &Notice) {
        let name = |addr: &Address| match addr.ip().is_some_and(|ip| ip.is_loopback()) {
            true => "here".to_owned(),
            false => addr.to_string(),
        };
        self.0.borrow_mut().push(match notice {
            Notice::Opened { peer, .. } => format!("opened {}", name(peer)),
            Notice::Identified { peer, proxy, local, .. } => {
                assert_eq!((name(proxy), *local), ("here".to_owned(), peer == proxy));
                format!("identified {}", name(peer))
            }
            Notice::TurnedAway { peer, reason, .. } => {
                format!("turned {} away {}", name(peer), fault(reason))
            }
            Notice::Gone { peer, reason, .. } => format!("gone {} {}", name(peer), fault(reason)),
            _ => return,
        });
    }
}
