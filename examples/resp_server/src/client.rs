//! A client, as the server knows it.

use std::collections::HashMap;

use crate::commands::{Command, Refused};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::reply::Version;
use crate::store::{Millis, Store, Watch};

/// The client of one connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) since: Millis,
    pub(crate) name: Vec<u8>,
    pub(crate) library: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
    pub(crate) version: Version,
    /// Set by a command: the connection is closed once the replies are sent.
    pub(crate) is_leaving: bool,
    transaction: Option<Transaction>,
    /// The keys that are watched, and whether each was there: then its expiry is a change too.
    watched: HashMap<Box<[u8]>, bool>,
    /// Whether one of the watched keys was changed.
    watch: Watch,
}

/// The requests since MULTI.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) requests: Vec<(&'static Command, OwnedArgs)>,
    /// The memory of the requests, in bytes.
    size: usize,
    /// A request could not be queued, so that nothing will be executed.
    is_spoilt: bool,
}

impl Client {
    pub(crate) fn new(id: u64, address: String, since: Millis) -> Self {
        Self {
            id,
            address,
            since,
            name: Vec::new(),
            library: Vec::new(),
            library_version: Vec::new(),
            version: Version::Two,
            is_leaving: false,
            transaction: None,
            watched: HashMap::new(),
            watch: Watch::default(),
        }
    }

    pub(crate) fn is_queueing(&self) -> bool {
        self.transaction.is_some()
    }

    pub(crate) fn begin_transaction(&mut self) {
        self.transaction = Some(Transaction::default());
    }

    /// Keeps a request for EXEC, if the transaction then takes at most `limit` bytes.
    pub(crate) fn enqueue(
        &mut self,
        command: &'static Command,
        args: Args<'_>,
        limit: usize,
    ) -> Result<(), Refused> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        if transaction.is_spoilt {
            return Ok(());
        }
        let request = OwnedArgs::from(args);
        transaction.size += request.size();
        if transaction.size > limit {
            self.spoil_transaction();
            return Err(format!("ERR the transaction is longer than {limit} bytes").into());
        }
        transaction.requests.push((command, request));
        Ok(())
    }

    /// A request cannot be queued: what was queued will not be executed.
    pub(crate) fn spoil_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            *transaction = Transaction { is_spoilt: true, ..Transaction::default() };
        }
    }

    /// Ends the transaction, if there is one. `Ok(None)`: a watched key was changed.
    pub(crate) fn end_transaction(
        &mut self,
        store: &mut Store,
        now: Millis,
    ) -> Option<Result<Option<Transaction>, Refused>> {
        let transaction = self.transaction.take()?;
        let has_expired = |key: &[u8]| store.get(key, now).is_none();
        let is_changed = self.watch.get()
            || self.watched.iter().any(|(key, was_there)| *was_there && has_expired(key));
        self.unwatch(store);
        Some(if transaction.is_spoilt {
            Err(Refused::Text("EXECABORT Transaction discarded because of previous errors."))
        } else {
            Ok((!is_changed).then_some(transaction))
        })
    }

    pub(crate) fn watch(&mut self, key: &[u8], store: &mut Store, now: Millis) {
        if !self.watched.contains_key(key) {
            store.watch(key, &self.watch);
            self.watched.insert(key.into(), store.get(key, now).is_some());
        }
    }

    pub(crate) fn unwatch(&mut self, store: &mut Store) {
        for (key, _) in self.watched.drain() {
            store.unwatch(&key, &self.watch);
        }
        self.watch.set(false);
    }
}
