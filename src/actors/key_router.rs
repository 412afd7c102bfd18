//! KeyRouter: finds or starts the KeyActor of a key. One per shard, each with its own arbiter.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, dev::SendError};

use super::{
    Refusal,
    key::{Join, KeyActor},
    system::DriveContext,
};
use crate::payment::Scope;

pub(crate) struct KeyRouter {
    context: Arc<DriveContext>,
    keys: HashMap<Scope, Live>,
}

struct Live {
    addr: Addr<KeyActor>,
    /// Messages given to the actor so far.
    sent: u64,
}

/// Duplicates of one key that may queue at once; more are turned away as overload.
const DUPLICATES_MAX: usize = 4_096;

impl KeyRouter {
    pub(crate) fn new(context: Arc<DriveContext>) -> Self {
        Self {
            context,
            keys: HashMap::new(),
        }
    }

    fn start_key(&self, scope: Scope, router: Addr<Self>) -> Addr<KeyActor> {
        KeyActor::create(|actor| {
            actor.set_mailbox_capacity(DUPLICATES_MAX);
            KeyActor::new(Arc::clone(&self.context), router, scope)
        })
    }
}

impl Actor for KeyRouter {
    type Context = Context<Self>;
}

impl Handler<Join> for KeyRouter {
    type Result = ();

    fn handle(&mut self, join: Join, actor: &mut Context<Self>) {
        let scope = join.order.scope.clone();
        let join = match self.keys.entry(scope.clone()) {
            Entry::Vacant(_) => join,
            Entry::Occupied(mut live) => match live.get().addr.try_send(join) {
                Ok(()) => {
                    live.get_mut().sent += 1;
                    return;
                }
                Err(SendError::Full(join)) => {
                    // A client that left needs no answer.
                    drop(join.reply.send(Err(Refusal::Overloaded)));
                    return;
                }
                // Only a panic closes an actor that the router still knows; its drive goes on.
                Err(SendError::Closed(join)) => join,
            },
        };
        let addr = self.start_key(scope.clone(), actor.address());
        if let Err(SendError::Full(join) | SendError::Closed(join)) = addr.try_send(join) {
            drop(join.reply.send(Err(Refusal::Internal)));
        }
        self.keys.insert(scope, Live { addr, sent: 1 });
    }
}

/// A KeyActor has nothing left to do after `received` messages.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Retire {
    pub(crate) scope: Scope,
    pub(crate) received: u64,
}

impl Handler<Retire> for KeyRouter {
    type Result = ();

    /// Drops the actor's address, and so ends it, unless a message is still on its way to it: then
    /// it will ask again.
    fn handle(&mut self, retire: Retire, _: &mut Context<Self>) {
        if let Entry::Occupied(live) = self.keys.entry(retire.scope)
            && live.get().sent == retire.received
        {
            live.remove();
        }
    }
}
