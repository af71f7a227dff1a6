//! Commands that are executed together, and only if nothing has changed: MULTI, EXEC, WATCH.

use super::{ALL_KEYS, Call, Command, Refused, command};

pub(super) const COMMANDS: &[Command] = &[
    command("multi", 1, multi).help("", "Starts a transaction."),
    command("exec", 1, exec).help("", "Executes all commands in a transaction."),
    command("discard", 1, discard).help("", "Discards a transaction."),
    command("watch", -2, watch)
        .reads(ALL_KEYS)
        .help("key [key ...]", "Lets the transaction fail if one of the keys is changed before."),
    command("unwatch", 1, unwatch).help("", "Forgets all watched keys."),
];

/// Whether a command is executed in a transaction too, instead of being queued.
pub(super) fn is_at_once(command: &Command) -> bool {
    matches!(command.name, "multi" | "exec" | "discard" | "watch" | "quit")
}

fn multi(call: &mut Call<'_>) -> Result<(), Refused> {
    if call.client.is_queueing() {
        return Err(Refused::Text("ERR MULTI calls can not be nested"));
    }
    call.client.begin_transaction();
    call.replies.ok();
    Ok(())
}

/// If the replies together are too long, an error takes their place: the commands were executed.
fn exec(call: &mut Call<'_>) -> Result<(), Refused> {
    let ended = call.client.end_transaction(call.store, call.now);
    let ended = ended.ok_or(Refused::Text("ERR EXEC without MULTI"))?;
    let Some(transaction) = ended? else {
        call.replies.null_array();
        return Ok(());
    };
    call.replies.array(transaction.requests.len());
    let (before, limit) = (call.replies.mark(), call.limits.reply);
    let mut too_long = false;
    for (command, request) in &transaction.requests {
        let Call { client, store, replies, now, limits, status, .. } = &mut *call;
        let (now, limits) = (*now, *limits);
        super::run(
            command,
            Call { args: request.args(), client, store, replies, now, limits, status },
        );
        if call.replies.len_since(before) > limit {
            call.replies.take_back(before);
            too_long = true;
        }
    }
    if too_long { Err(Refused::reply_too_long(limit)) } else { Ok(()) }
}

fn discard(call: &mut Call<'_>) -> Result<(), Refused> {
    let ended = call.client.end_transaction(call.store, call.now);
    ended.ok_or(Refused::Text("ERR DISCARD without MULTI"))?.ok();
    call.replies.ok();
    Ok(())
}

fn watch(call: &mut Call<'_>) -> Result<(), Refused> {
    if call.client.is_queueing() {
        return Err(Refused::Text("ERR WATCH inside MULTI is not allowed"));
    }
    for key in call.args.from(1) {
        call.client.watch(key, call.store, call.now);
    }
    call.replies.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> Result<(), Refused> {
    call.client.unwatch(call.store);
    call.replies.ok();
    Ok(())
}
