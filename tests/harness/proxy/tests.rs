//! The proxy does what it says.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::harness::eventually;

/// A server that answers each `x` with its own letter, and tells what it got.
async fn server(letter: u8) -> (SocketAddr, mpsc::UnboundedReceiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Ok(byte) = client.read_u8().await {
                    heard.send(byte).unwrap_or_default(); // The test may not care.
                    if byte == b'x' && client.write_u8(letter).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, hears)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn ask(client: &mut TcpStream) -> io::Result<u8> {
    client.write_all(b"x").await?;
    client.read_u8().await
}

#[tokio::test]
async fn it_passes_on_stalls_cuts_refuses_and_aims_elsewhere() {
    let (first, mut heard) = server(b'a').await;
    let (second, _) = server(b'b').await;
    let proxy = Proxy::start(first).await;
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client).await.unwrap(), b'a');
    assert_eq!((heard.recv().await, proxy.open()), (Some(b'x'), 1));

    proxy.stall(Direction::ToClient);
    client.write_all(b"x").await.unwrap();
    assert_eq!(heard.recv().await, Some(b'x'));
    proxy.stall(Direction::ToServer);
    client.write_all(b"yx").await.unwrap();
    assert!(heard.try_recv().is_err() && client.try_read(&mut [0]).is_err());
    proxy.forward().await;
    assert_eq!(client.read_u16().await.unwrap().to_be_bytes(), *b"aa");

    proxy.aim_at(second);
    assert_eq!(ask(&mut client).await.unwrap(), b'a', "it stands");
    proxy.cut_all();
    let reset = client.read_u8().await.unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client).await.unwrap(), b'b');

    proxy.refuse().await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(ask(&mut client).await.unwrap(), b'b', "it stands");
    proxy.forward().await;
    assert_eq!(ask(&mut connect(&proxy).await).await.unwrap(), b'b');
    drop(client);
    eventually("connections end", async || {
        (proxy.open() == 0).then_some(())
    })
    .await;
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn a_trap_strikes_once_whoever_sends_its_bytes_in_however_many_pieces() {
    let (target, mut heard) = server(b'a').await;
    let proxy = Proxy::start(target).await;
    for (fate, arrives) in [(Fate::CutBefore, false), (Fate::CutAfter, true)] {
        let mut client = connect(&proxy).await;
        let trap = proxy.trap("COMx", fate, 1);
        for piece in ["C", "OM"] {
            client.write_all(piece.as_bytes()).await.unwrap();
            for byte in piece.bytes() {
                assert_eq!(heard.recv().await, Some(byte));
            }
        }
        let cut = ask(&mut client).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
        trap.until_sprung(1).await;
        if arrives {
            assert_eq!(heard.recv().await, Some(b'x'));
        }
        let mut other = connect(&proxy).await;
        other.write_all(b"COM").await.unwrap();
        assert_eq!(ask(&mut other).await.unwrap(), b'a', "only once");
        for byte in *b"COMx" {
            assert_eq!(heard.recv().await, Some(byte));
        }
        assert_eq!(trap.sprung(), 1);
    }
}

#[tokio::test]
async fn a_silenced_server_hears_and_is_not_heard() {
    let (target, mut heard) = server(b'a').await;
    let proxy = Proxy::start(target).await;
    let mut client = connect(&proxy).await;
    let trap = proxy.trap("x", Fate::Silence, 1);

    client.write_all(b"xy").await.unwrap();

    assert_eq!(
        (heard.recv().await, heard.recv().await),
        (Some(b'x'), Some(b'y'))
    );
    assert_eq!(trap.sprung(), 1);
    assert!(client.try_read(&mut [0]).is_err());
    assert_eq!(
        ask(&mut connect(&proxy).await).await.unwrap(),
        b'a',
        "others are heard"
    );
}
