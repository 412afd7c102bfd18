//! The other side of the wire: the test itself reads each request and writes each answer.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer { stream }
    }
}

/// One connection of the adapter's.
pub(crate) struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// The next request, to the last byte of its body.
    pub(crate) async fn request(&mut self) -> String {
        let next = self.next_request().await;
        next.expect("the adapter hung up in place of a request")
    }

    /// As [`Self::request`], if there is one.
    pub(crate) async fn next_request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8(bytes.clone()).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= content_length(head)
            {
                return Some(text);
            }
            let read = self.stream.read_buf(&mut bytes).await.unwrap();
            if read == 0 {
                assert!(bytes.is_empty(), "the adapter hung up within a request");
                return None;
            }
        }
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn answer(&mut self, status_and_headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status_and_headers}\r\nContent-Length: {length}\r\n\r\n");
        self.write(&(head + body)).await;
    }

    /// Writes a body of `bytes`, or as much of it as the adapter is willing to read.
    pub(crate) async fn flood(&mut self, bytes: usize) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
        self.write(&head).await;
        let chunk = vec![b' '; 16 * 1024];
        for _ in 0..bytes.div_ceil(chunk.len()) {
            if self.stream.write_all(&chunk).await.is_err() {
                return;
            }
        }
    }

    /// Ends the connection in order.
    pub(crate) fn close(self) {
        drop(self.stream);
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
        drop(self.stream);
    }
}

fn content_length(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.rfind(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map_or(0, |(_, value)| value.parse().unwrap())
}
