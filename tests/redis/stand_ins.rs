//! What listens where Redis should, and is none, or is slow.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// Ends with the test.
pub(super) struct StandIn {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl StandIn {
    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client));
            }
        });
        Self { address, listening }
    }

    /// Redis at `port`, each of whose answers comes later by `delay`.
    pub(super) async fn slow(port: u16, delay: Duration) -> Self {
        Self::start(move |client| async move {
            let redis = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_redis, mut to_redis) = redis.into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_redis).await });
            let mut buffer = [0; 16_384];
            while let Ok(read @ 1..) = from_redis.read(&mut buffer).await {
                sleep(delay).await;
                if to_client.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Answers whatever it is asked with `nonsense`.
    pub(super) async fn babbling(nonsense: &'static [u8]) -> Self {
        Self::start(move |mut client| async move {
            let mut buffer = [0; 16_384];
            while let Ok(1..) = client.read(&mut buffer).await {
                if client.write_all(nonsense).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Takes connections, and never says a word.
    pub(super) async fn silent() -> Self {
        Self::start(|mut client| async move {
            let mut buffer = [0; 16_384];
            while let Ok(1..) = client.read(&mut buffer).await {}
        })
        .await
    }
}
