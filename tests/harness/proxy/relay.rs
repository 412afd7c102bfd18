//! One connection: what each end sends is carried to the other, until a switch or a trap says
//! otherwise.

use std::{
    io::{Error, ErrorKind, Result},
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

use super::{Direction, Shared, Switches, trap::Fate};

const CHUNK: usize = 16_384;
/// How much of what was sent is remembered: more than any trap waits for.
const SEEN: usize = 1_024;

/// Carries a client's connection to its end.
pub(super) async fn run(mut client: TcpStream, shared: Arc<Shared>) {
    let mut switches = shared.switches.subscribe();
    let Switches { target, cuts, .. } = *switches.borrow();
    shared.open.fetch_add(1, Ordering::SeqCst);
    if let Ok(mut server) = TcpStream::connect(target).await {
        let ended = tokio::select! {
            ended = carry(&mut client, &mut server, &shared) => ended,
            _ = switches.wait_for(|now| now.cuts != cuts) => Err(cut()),
        };
        if ended.is_err() {
            reset(server);
            reset(client);
        }
    } else {
        reset(client);
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

fn cut() -> Error {
    ErrorKind::ConnectionReset.into()
}

/// Ends a connection as a machine does that knows nothing of it.
fn reset(stream: TcpStream) {
    // It may have ended by itself.
    drop(stream.set_zero_linger());
}

async fn carry(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let fate = watch::Sender::new(None);
    tokio::try_join!(
        requests(from_client, to_server, shared, &fate),
        answers(from_server, to_client, shared, &fate),
    )?;
    Ok(())
}

async fn requests(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    fate: &watch::Sender<Option<Fate>>,
) -> Result<()> {
    let mut switches = shared.switches.subscribe();
    let (mut chunk, mut seen) = (vec![0; CHUNK], Vec::new());
    loop {
        let length = from.read(&mut chunk).await?;
        let sent = &chunk[..length];
        flowing(&mut switches, Direction::ToServer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        if let Some(struck) = struck(shared, &seen, sent) {
            fate.send_replace(Some(struck));
            if struck == Fate::CutBefore {
                return Err(cut());
            }
        }
        to.write_all(sent).await?;
        seen.extend_from_slice(sent);
        seen.drain(..seen.len().saturating_sub(SEEN));
    }
}

fn struck(shared: &Shared, seen: &[u8], sent: &[u8]) -> Option<Fate> {
    let traps = shared.traps.lock().unwrap();
    let trap = traps.iter().find(|trap| trap.springs(seen, sent))?;
    Some(trap.fate)
}

async fn answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    fate: &watch::Sender<Option<Fate>>,
) -> Result<()> {
    let mut switches = shared.switches.subscribe();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await?;
        match *fate.borrow() {
            Some(Fate::CutBefore | Fate::CutAfter) => return Err(cut()),
            Some(Fate::Silence) if length > 0 => continue,
            Some(Fate::Silence) | None => {}
        }
        flowing(&mut switches, Direction::ToClient).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..length]).await?;
    }
}

async fn flowing(switches: &mut watch::Receiver<Switches>, direction: Direction) -> Result<()> {
    let flowing = switches.wait_for(|now| !now.stalls(direction)).await;
    flowing.map(drop).map_err(|_ended| cut())
}
