//! A TCP proxy that stands between two parties and fails on request: it stalls, cuts, refuses, and
//! swallows what it should pass on. Start reading at [`Proxy::start`].
//!
//! It knows no protocol. A [`Proxy::trap`] waits for bytes that a client sends, such as `COMMIT` or an
//! idempotency key, and then does to that one connection what it was told to.
//!
//! It lives on the runtime that started it, and ends with its [`Proxy`].

mod relay;
#[cfg(test)]
mod tests;
mod trap;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub(crate) use self::trap::{Fate, Trap};
use super::programs::{Reserved, bind};

const BACKLOG: u32 = 1_024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the one who connected to the target.
    ToServer,
    /// From the target to the one who connected.
    ToClient,
}

/// A running proxy, which passes everything on until it is told otherwise.
pub(crate) struct Proxy {
    /// Also while connections are refused.
    reserved: Reserved,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What the connections of a proxy know of it.
struct Shared {
    switches: watch::Sender<Switches>,
    is_listening: watch::Sender<bool>,
    traps: Mutex<Vec<Arc<Trap>>>,
    /// Connections that it stands in, and how many there were in all.
    open: AtomicUsize,
    accepted: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Switches {
    target: SocketAddr,
    refuses: bool,
    to_server_stalls: bool,
    to_client_stalls: bool,
    /// Connections from before the last cut end.
    cuts: u64,
}

impl Switches {
    fn stalls(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.to_server_stalls,
            Direction::ToClient => self.to_client_stalls,
        }
    }
}

impl Proxy {
    /// Stands in front of `target`, on a free port of this machine.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let reserved = Reserved::any();
        let switches = Switches {
            target,
            refuses: false,
            to_server_stalls: false,
            to_client_stalls: false,
            cuts: 0,
        };
        let shared = Arc::new(Shared {
            switches: watch::Sender::new(switches),
            is_listening: watch::Sender::new(false),
            traps: Mutex::default(),
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        });
        let this = Self {
            accepting: tokio::spawn(accept(reserved.address(), Arc::clone(&shared))),
            reserved,
            shared,
        };
        this.until_listening(true).await;
        this
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.reserved.address()
    }

    /// Passes everything on again: what stalled flows on, connections are accepted, no trap is set.
    pub(crate) async fn forward(&self) {
        self.shared.traps.lock().unwrap().clear();
        self.switch(|switches| {
            switches.refuses = false;
            switches.to_server_stalls = false;
            switches.to_client_stalls = false;
        });
        self.until_listening(true).await;
    }

    /// Holds back what goes in that direction, in connections that stand and in new ones. Nothing is
    /// lost: [`Self::forward`] lets it flow on.
    pub(crate) fn stall(&self, direction: Direction) {
        self.switch(|switches| match direction {
            Direction::ToServer => switches.to_server_stalls = true,
            Direction::ToClient => switches.to_client_stalls = true,
        });
    }

    /// Resets every connection that stands, at both ends. New ones are not affected.
    pub(crate) fn cut_all(&self) {
        self.switch(|switches| switches.cuts += 1);
    }

    /// Refuses new connections, as a port does on which nobody listens. Those that stand, stand.
    pub(crate) async fn refuse(&self) {
        self.switch(|switches| switches.refuses = true);
        self.until_listening(false).await;
    }

    /// Sends new connections elsewhere, as a load balancer would. Those that stand, stand.
    pub(crate) fn aim_at(&self, target: SocketAddr) {
        self.switch(|switches| switches.target = target);
    }

    /// Waits for a client that sends `needle`, and gives its connection that fate; `times` in all.
    pub(crate) fn trap(&self, needle: impl AsRef<[u8]>, fate: Fate, times: usize) -> Arc<Trap> {
        let trap = Arc::new(Trap::new(needle.as_ref(), fate, times));
        self.shared.traps.lock().unwrap().push(Arc::clone(&trap));
        trap
    }

    /// Connections that it stands in now.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Connections that it has accepted since it started.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    fn switch(&self, change: impl FnOnce(&mut Switches)) {
        self.shared.switches.send_modify(change);
    }

    async fn until_listening(&self, wanted: bool) {
        let mut listening = self.shared.is_listening.subscribe();
        listening.wait_for(|is| *is == wanted).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

async fn accept(address: SocketAddr, shared: Arc<Shared>) {
    let mut switches = shared.switches.subscribe();
    while switches.wait_for(|now| !now.refuses).await.is_ok() {
        let listener = bind(address).and_then(|socket| socket.listen(BACKLOG));
        serve(listener.unwrap(), &shared, &mut switches).await;
        shared.is_listening.send_replace(false);
    }
}

/// Accepts until connections are to be refused.
async fn serve(
    listener: TcpListener,
    shared: &Arc<Shared>,
    switches: &mut watch::Receiver<Switches>,
) {
    shared.is_listening.send_replace(true);
    loop {
        tokio::select! {
            biased;
            _ = switches.wait_for(|now| now.refuses) => return,
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    shared.accepted.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(relay::run(client, Arc::clone(shared)));
                }
            }
        }
    }
}
