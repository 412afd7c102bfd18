//! The port of the HTTP API: taken first, opened last.

use std::net::{SocketAddr, TcpListener};

use tokio::{net::TcpSocket, runtime::Handle};

use super::error::CliError;

/// Connections that the system keeps while nobody accepts them.
const BACKLOG: u32 = 2_048;
/// What the system keeps of a connection in each direction, in bytes, unless it is read: left to
/// itself it keeps megabytes for clients that send ahead and do not read.
const BUFFER_BYTES: u32 = 65_536;

/// A port that is ours, and that refuses connections until it is opened.
///
/// Whether it can be had is known before a key is made, or a migration is run.
pub(super) struct Port {
    address: SocketAddr,
    socket: TcpSocket,
}

impl Port {
    pub(super) fn take(address: SocketAddr) -> Result<Self, CliError> {
        let taken = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let taken = taken.and_then(|socket| {
            socket.set_reuseaddr(true)?; // Connections of a process before us may linger.
            socket.set_send_buffer_size(BUFFER_BYTES)?; // Inherited by every connection.
            socket.set_recv_buffer_size(BUFFER_BYTES)?;
            socket.bind(address)?;
            Ok(Self { address, socket })
        });
        taken.map_err(|source| CliError::Listen {
            listen: address,
            source,
        })
    }

    pub(super) fn open(self, io: &Handle) -> Result<TcpListener, CliError> {
        let _on_io = io.enter();
        let opened = self.socket.listen(BACKLOG);
        let opened = opened.and_then(tokio::net::TcpListener::into_std);
        opened.map_err(|source| CliError::Listen {
            listen: self.address,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_refuses_until_it_is_opened_and_cannot_be_had_twice() {
        // Nobody else is given the port meanwhile; what does not listen is in nobody's way.
        let kept = TcpSocket::new_v4().unwrap();
        kept.set_reuseaddr(true).unwrap();
        kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = kept.local_addr().unwrap();
        let port = Port::take(free).unwrap();
        assert!(TcpStream::connect(free).is_err());
        let _open = port.open(&Handle::current()).unwrap();
        assert!(TcpStream::connect(free).is_ok());
        let again = Port::take(free).map(|_| ());
        assert!(matches!(again, Err(CliError::Listen { listen, .. }) if listen == free));
    }
}
