//! A way between two parts of a world, with a gate in it: connections go through here, so that they can
//! be cut or held up without touching either end. Start reading at [`Gate::to`].

use std::{fmt, io, net::SocketAddr, time::Duration};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::error::DrillError;

/// What the gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Connections stand, and nothing moves.
    Stalled,
    /// Nothing moves there, while what comes back arrives.
    StalledThere,
    /// Everything arrives there, and nothing comes back.
    StalledBack,
    /// Whatever moves takes [`SLOW_BY`] longer.
    Slow,
    /// Connections are ended, and new ones as soon as they are made.
    Cut,
    /// Connections stand, and new ones are refused.
    Refused,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

/// Dropping it ends every connection.
#[derive(Debug)]
pub(super) struct Gate {
    at: SocketAddr,
    way: watch::Sender<Way>,
    target: watch::Sender<Target>,
    _passing: JoinSet<()>,
}

type Target = (String, u16);

const POSTGRES_PORT: u16 = 5432;
const CHUNK_BYTES: usize = 16 * 1024;
pub(super) const SLOW_BY: Duration = Duration::from_millis(200);
/// Between two tries to get a port back that another may have taken meanwhile.
const PORT_AGAIN: Duration = Duration::from_millis(20);

impl Gate {
    /// A gate before the database of that URL, and the URL that leads through it; `None` for a
    /// database that is not reached by TCP.
    pub(super) async fn before(
        database_url: &SecretString,
    ) -> Result<Option<(Self, SecretString)>, DrillError> {
        let Ok(mut url) = Url::parse(database_url.expose_secret()) else {
            return Ok(None); // The server will say what is wrong with it.
        };
        let host = url.host_str().filter(|host| !host.contains('%'));
        let (true, Some(host)) = (url.scheme().starts_with("postgres"), host) else {
            return Ok(None);
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let gate = Self::to((host, url.port().unwrap_or(POSTGRES_PORT))).await?;
        let at = gate.at.port();
        let is_led = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(at)).is_ok();
        Ok(is_led.then(|| (gate, SecretString::from(String::from(url)))))
    }

    /// A gate on a free port of this machine, and behind it the way to `target`.
    pub(super) async fn to(target: Target) -> Result<Self, DrillError> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.map_err(DrillError::Gate)?;
        let at = listener.local_addr().map_err(DrillError::Gate)?;
        let (way, seen) = watch::channel(Way::Open);
        let (target, to) = watch::channel(target);
        let mut passing = JoinSet::new();
        passing.spawn(admit(listener, at, to, seen));
        Ok(Self {
            at,
            way,
            target,
            _passing: passing,
        })
    }

    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }

    /// New connections lead there from now on.
    pub(super) fn leads_to(&self, target: SocketAddr) {
        self.target
            .send_replace((target.ip().to_string(), target.port()));
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn admit(
    mut listener: TcpListener,
    at: SocketAddr,
    target: watch::Receiver<Target>,
    way: watch::Receiver<Way>,
) {
    let mut connections = JoinSet::new();
    let mut refused = way.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => Some(accepted),
            _ = refused.wait_for(|way| *way == Way::Refused) => None,
        };
        let Some(accepted) = accepted else {
            drop(listener);
            if refused.wait_for(|way| *way != Way::Refused).await.is_err() {
                return; // The gate is gone.
            }
            listener = bind_again(at).await;
            continue;
        };
        // What went wrong with one connection, its two ends notice by themselves.
        let Ok((from, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (to, mut way) = (target.borrow().clone(), way.clone());
        connections.spawn(async move {
            let mut cut = way.clone();
            tokio::select! {
                _ = cut.wait_for(|way| *way == Way::Cut) => {}
                _ = pass(from, to, &mut way) => {}
            }
        });
    }
}

async fn bind_again(at: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(at).await {
            return listener;
        }
        sleep(PORT_AGAIN).await;
    }
}

async fn pass(from: TcpStream, to: Target, way: &mut watch::Receiver<Way>) -> io::Result<()> {
    let to = TcpStream::connect(to).await?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let mut way_back = way.clone();
    tokio::try_join!(
        pump(from_read, to_write, way, Direction::There),
        pump(to_read, from_write, &mut way_back, Direction::Back)
    )?;
    Ok(())
}

/// Moves bytes as long as the way is open, until one end closes.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: &mut watch::Receiver<Way>,
    direction: Direction,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await?;
        let moves = way.wait_for(|way| way.moves(direction)).await;
        let Ok(is_slow) = moves.map(|way| *way == Way::Slow) else {
            return Err(io::ErrorKind::ConnectionAborted.into()); // The gate is gone.
        };
        if is_slow {
            sleep(SLOW_BY).await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(chunk.get(..read).unwrap_or_default()).await?;
    }
}

impl Way {
    fn moves(self, direction: Direction) -> bool {
        match self {
            Self::Open | Self::Slow | Self::Refused => true,
            Self::StalledThere => direction == Direction::Back,
            Self::StalledBack => direction == Direction::There,
            Self::Stalled | Self::Cut => false,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Stalled => "stalled",
            Self::StalledThere => "stalled there",
            Self::StalledBack => "stalled back",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Refused => "refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// A server that sends back what it gets, and a connection to it through a gate.
    async fn echo() -> (Gate, TcpStream) {
        let (gate, stream, _) = echo_that_tells().await;
        (gate, stream)
    }

    /// As [`echo`], with what tells how many bytes the server has read before it sends them back.
    async fn echo_that_tells() -> (Gate, TcpStream, mpsc::UnboundedReceiver<usize>) {
        let (tell, told) = mpsc::unbounded_channel();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut bytes = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                let _ = tell.send(length); // Not every test asks.
                stream.write_all(&bytes[..length]).await.unwrap();
            }
        });
        let url = SecretString::from(format!("postgres://me:secret@{at}/name?x=y"));
        let (gate, led) = Gate::before(&url).await.unwrap().unwrap();
        let led = Url::parse(led.expose_secret()).unwrap();
        assert_ne!(led.port(), Some(at.port()));
        assert_eq!((led.username(), led.password()), ("me", Some("secret")));
        assert_eq!((led.path(), led.query()), ("/name", Some("x=y")));
        let stream = TcpStream::connect(("127.0.0.1", led.port().unwrap())).await;
        (gate, stream.unwrap(), told)
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) {
        stream.write_all(text).await.unwrap();
    }

    async fn hear(stream: &mut TcpStream) -> [u8; 2] {
        let mut text = [0; 2];
        stream.read_exact(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn what_a_stalled_gate_holds_back_arrives_once_it_is_open() {
        let (gate, mut stream) = echo().await;
        say(&mut stream, b"ab").await;
        assert_eq!(hear(&mut stream).await, *b"ab");
        gate.set(Way::Stalled);
        say(&mut stream, b"cd").await;
        let mut first = [0];
        let moved = tokio::time::timeout(Duration::from_millis(50), stream.peek(&mut first));
        assert!(moved.await.is_err(), "nothing moves");
        gate.set(Way::Open);
        assert_eq!(hear(&mut stream).await, *b"cd");
    }

    #[tokio::test]
    async fn a_cut_gate_ends_connections() {
        let (gate, mut stream) = echo().await;
        say(&mut stream, b"ab").await;
        assert_eq!(hear(&mut stream).await, *b"ab");
        gate.set(Way::Cut);
        let mut rest = Vec::new();
        // An orderly end or a reset, as the system likes.
        let ended = stream.read_to_end(&mut rest).await;
        assert!(ended.is_err() || rest.is_empty());
    }

    #[tokio::test]
    async fn a_gate_that_refuses_lets_connections_stand_and_opens_again() {
        let (gate, mut stream) = echo().await;
        say(&mut stream, b"ab").await;
        assert_eq!(hear(&mut stream).await, *b"ab");
        gate.set(Way::Refused);
        while TcpStream::connect(gate.at()).await.is_ok() {}
        say(&mut stream, b"cd").await;
        assert_eq!(hear(&mut stream).await, *b"cd");
        gate.set(Way::Open);
        while TcpStream::connect(gate.at()).await.is_err() {}
    }

    #[tokio::test]
    async fn a_gate_stalls_one_direction_alone() {
        let (gate, mut stream, mut told) = echo_that_tells().await;
        gate.set(Way::StalledBack);
        say(&mut stream, b"ab").await;
        let mut arrived = 0;
        while arrived < 2 {
            arrived += told.recv().await.unwrap();
        }
        let mut first = [0];
        let came = tokio::time::timeout(Duration::from_millis(50), stream.peek(&mut first));
        assert!(came.await.is_err(), "nothing comes back");
        gate.set(Way::StalledThere);
        // It had arrived already, and what comes back moves now.
        assert_eq!(hear(&mut stream).await, *b"ab");
    }

    #[tokio::test]
    async fn only_a_database_behind_tcp_gets_a_gate() {
        for url in [
            "sqlite://x.db",
            "x.db",
            "postgres:///name?host=/run",
            "postgres://%2Frun/name",
        ] {
            assert!(
                Gate::before(&SecretString::from(url))
                    .await
                    .unwrap()
                    .is_none(),
                "{url}"
            );
        }
    }
}
