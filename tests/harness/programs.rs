//! What the programs of others that tests start have in common: a port of their own, and an end with the
//! test process, however that ends.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
};

use tokio::net::TcpSocket;

/// A port of this machine that nobody else is given as long as this lives, whether the program that it
/// is for listens on it, has not begun to, or has ended.
#[derive(Debug)]
pub(crate) struct Reserved {
    address: SocketAddr,
    /// Bound but never listening. Linux lets a listener bind beside it that reuses addresses, as each of
    /// ours and of the programs that tests start does.
    _socket: TcpSocket,
}

impl Reserved {
    pub(crate) fn any() -> Self {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Self {
            address: socket.local_addr().unwrap(),
            _socket: socket,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

/// A socket that has the address, and does not listen yet.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Runs `ending` over a program's folder, `$0`, and removes the folder, once the pipe is closed: also if
/// this process is killed.
pub(super) fn watchdog(folder: &Path, ending: &str) -> ChildStdin {
    let shell = Command::new("sh")
        .arg("-c")
        .arg(format!("cat > /dev/null\n{ending}\nrm -rf \"$0\""))
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    shell.unwrap().stdin.take().unwrap()
}
