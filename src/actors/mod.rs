//! The actors: who drives a payment, in what order. Start reading at [`Payments::submit`], then
//! [`drive`](drive::drive).
//!
//! ```text
//! Payments (a handle)   looks the key up, admits, and waits as long as its client does
//!   KeyRouter           one per shard: finds or starts the KeyActor of a key
//!     KeyActor          one per key at work: the first request starts a drive, duplicates join it
//!       drive           a task of its own: Begin, call, settle; survives client and actor
//!         DbActor       gathers writes into batches
//!         ProviderActor owns the calls to one provider
//! RecoveryActor         settles without a client what drives left behind
//! ```
//!
//! **Invariant:** no actor's memory is the only place of a fact about money. An actor that is lost
//! loses a wait, never an outcome.
//! **Invariant:** bounded by admission in front; the mailboxes give no back-pressure.

mod db;
mod drive;
mod follow;
mod front_door;
mod held;
mod intent;
mod key;
mod key_router;
mod lease;
mod loose_ends;
mod order;
mod payments;
mod provider;
mod recovery;
mod resolve;
mod supervisor;
mod system;

pub use order::{Order, Patience, Refusal, Reply, Request};
pub use payments::Payments;
pub use provider::{BreakerEvent, GateSettings, PastTransition, ProviderSnapshot, Providers};
pub use recovery::RecoverySettings;
pub use resolve::{Resolution, ResolveRefusal, Resolver};
pub use supervisor::{GiveUp, Supervised, supervise};
pub use system::{ActorSystem, Dependencies, DriveSettings};
