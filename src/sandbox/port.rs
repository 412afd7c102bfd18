//! A listening port that can be closed and opened again, so that connects are really refused.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const BACKLOG: u32 = 4_096;
const BIND_AGAIN_EVERY: Duration = Duration::from_millis(10);
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

/// An address that is ours, whether or not we listen on it.
#[derive(Debug)]
pub(super) struct Port {
    address: SocketAddr,
    /// Bound but never listening: it answers no one, and keeps the port from being given to
    /// somebody else while it is closed. Only Linux lets a listener bind beside it.
    _reservation: Option<TcpSocket>,
}

impl Port {
    /// Takes `address`; port 0 picks a free one.
    pub(super) fn take(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        if cfg!(target_os = "linux") {
            let reservation = bind(address)?;
            let address = reservation.local_addr()?;
            let listener = bind(address)?.listen(BACKLOG)?;
            Ok((
                Self {
                    address,
                    _reservation: Some(reservation),
                },
                listener,
            ))
        } else {
            let listener = bind(address)?.listen(BACKLOG)?;
            Ok((
                Self {
                    address: listener.local_addr()?,
                    _reservation: None,
                },
                listener,
            ))
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens again, however long the system takes to allow it; `None` once `stopping`.
    pub(super) async fn listen(&self, stopping: &CancellationToken) -> Option<TcpListener> {
        loop {
            match bind(self.address).and_then(|socket| socket.listen(BACKLOG)) {
                Ok(listener) => return Some(listener),
                Err(error) => tracing::debug!(%error, address = %self.address, "bind again"),
            }
            tokio::select! {
                () = tokio::time::sleep(BIND_AGAIN_EVERY) => {}
                () = stopping.cancelled() => return None,
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Tells the accept loop that the plan has changed, and waits until it is true of the port.
#[derive(Debug)]
pub(super) struct PortSwitch {
    wanted: watch::Sender<u64>,
    applied: watch::Sender<u64>,
}

impl PortSwitch {
    pub(super) fn new() -> Self {
        Self {
            wanted: watch::Sender::new(0),
            applied: watch::Sender::new(0),
        }
    }

    /// Returns once the port is as the plan says, or after 5 s.
    pub(super) async fn apply(&self) {
        let mut version = 0;
        self.wanted.send_modify(|wanted| {
            *wanted += 1;
            version = *wanted;
        });
        let mut applied = self.applied.subscribe();
        if timeout(
            APPLIED_WITHIN,
            applied.wait_for(|applied| *applied >= version),
        )
        .await
        .is_err()
        {
            tracing::warn!("the sandbox's port did not follow the fault plan within 5 s");
        }
    }

    /// Versions of the plan, for the accept loop.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    /// Said by the accept loop: the port is as this version of the plan wants it.
    pub(super) fn applied(&self, version: u64) {
        self.applied.send_replace(version);
    }
}
