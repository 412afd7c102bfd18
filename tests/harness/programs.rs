//! What the programs of others that tests start have in common: a port of their own, and an end with the
//! test process, however that ends.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
};

/// A port of this machine that is free now; another process may take it before it is used.
pub(super) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
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
