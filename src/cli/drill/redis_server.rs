//! A Redis of a world's own, that keeps nothing on disk.

use std::{io, net::SocketAddr, path::Path, process::Command, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    error::DrillError,
    process::{Process, Signal},
    programs::{find, free_port},
};

#[derive(Debug)]
pub(super) struct Redis {
    server: Option<Process>,
    address: SocketAddr,
    folder: std::path::PathBuf,
}

const PROGRAM: &str = "redis-server";
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 500;

impl Redis {
    /// Starts one, if it is installed: servers do without as well.
    pub(super) async fn start(folder: &Path) -> Result<Option<Self>, DrillError> {
        let Ok(_path) = find(PROGRAM, PROGRAM) else {
            return Ok(None);
        };
        let mut this = Self {
            server: None,
            address: free_port().map_err(DrillError::Gate)?,
            folder: folder.to_owned(),
        };
        this.start_again().await?;
        Ok(Some(this))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.server
            .take()
            .map_or(Ok(()), |mut server| server.kill())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let server = self.server.as_ref();
        server.map_or(Ok(()), |server| server.signal(signal))
    }

    pub(super) async fn start_again(&mut self) -> Result<(), DrillError> {
        for _ in 0..TRIES {
            if self.server.as_mut().is_none_or(Process::has_ended) {
                self.server = Some(self.spawn()?);
            }
            if self.says("PING\r\n", b"+PONG").await {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
        let said = "it does not answer".to_owned();
        let program = PROGRAM.to_owned();
        Err(DrillError::NotListening { program, said })
    }

    /// Everything in it is gone. One that is not there has nothing in it.
    pub(super) async fn flush(&self) {
        self.says("FLUSHALL\r\n", b"+OK").await;
    }

    fn spawn(&self) -> Result<Process, DrillError> {
        let port = self.address.port().to_string();
        let mut command = Command::new(find(PROGRAM, PROGRAM)?);
        command.current_dir(&self.folder);
        command.args(["--bind", "127.0.0.1", "--port", &port]);
        command.args(["--save", "", "--appendonly", "no"]);
        Process::spawn("redis", PROGRAM.to_owned(), &mut command, &self.folder)
    }

    async fn says(&self, command: &str, expected: &[u8]) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(command.as_bytes()).await?;
            let mut answer = vec![0; expected.len()];
            stream.read_exact(&mut answer).await?;
            Ok::<_, io::Error>(answer == expected)
        };
        matches!(timeout(ANSWERS_WITHIN, asked).await, Ok(Ok(true)))
    }
}
