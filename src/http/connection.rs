//! A client's connection, watched: the bounds that actix-web does not set. Start reading at
//! [`Connection`].
//!
//! Some clients would otherwise hold a connection for ever, or worse:
//! - One that does not read. What is written then waits without end: cut after `send_timeout`.
//! - One that sends requests ahead and does not read, or is far ahead of its answers. Once
//!   actix-web's read buffer is full (128 KiB) it wakes itself without pause, and a few such
//!   connections starve every other on the same worker: cut as soon as that is seen.
//! - One that sends thousands of requests ahead: actix-web serves all that it has read before any
//!   other connection gets its turn, so that a turn reads little.
//! - One that sends the head of its second request drop by drop, or half of it together with the
//!   first: actix-web times only the first head, and its keep-alive ends with the first byte.
//!
//! **Invariant:** nothing here waits or reads by itself; it only turns what never ends into an error.

use std::{
    cell::Cell,
    future::Future,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use crate::telemetry::HttpMetrics;

/// Polls in a row without one byte moved, after which a connection counts as spinning: an honest one
/// is polled a few times for each step of its request.
const IDLE_POLLS_MAX: u32 = 500;
/// Bytes that one turn of a connection reads: a usual request with its body.
const TURN_BYTES_MAX: usize = 2_048;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To send a head whose first byte has come.
    pub(super) head: Duration,
    /// To accept more of what is written.
    pub(super) send: Duration,
    /// To move a byte while no request is served.
    pub(super) quiet: Duration,
}

/// The requests of one connection, shared by the connection and what serves it.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: Cell<u64>,
    running: Cell<u32>,
}

impl Requests {
    /// The head of a request is complete; its end is when the guard is dropped.
    pub(super) fn begin(&self) -> Running {
        self.0.begun.set(self.0.begun.get() + 1);
        self.0.running.set(self.0.running.get() + 1);
        Running(Rc::clone(&self.0))
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Running(Rc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    patience: Patience,
    metrics: HttpMetrics,
    requests: Requests,
    /// Runs while what is written waits for the client.
    stall: Option<Pin<Box<Sleep>>>,
    /// Runs since the first byte of a head, and for the head after so many requests.
    head: Option<(u64, Pin<Box<Sleep>>)>,
    /// Looks after a connection that has fallen silent; moved on lazily.
    quiet: Pin<Box<Sleep>>,
    last_moved: Instant,
    idle_polls: u32,
    read_in_turn: usize,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, patience: Patience, metrics: HttpMetrics) -> Self {
        let now = Instant::now();
        Self {
            stream,
            patience,
            metrics,
            requests: Requests::default(),
            stall: None,
            head: None,
            quiet: Box::pin(sleep_until(now + patience.quiet)),
            last_moved: now,
            idle_polls: 0,
            read_in_turn: 0,
        }
    }

    pub(super) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Bytes came: those of a head, unless a request is being served.
    fn received(&mut self, bytes: usize) {
        self.moved();
        self.read_in_turn += bytes;
        let counts = &self.requests.0;
        let begun = counts.begun.get();
        let timed = self
            .head
            .as_ref()
            .is_some_and(|(before, _)| *before == begun);
        if counts.running.get() == 0 && !timed {
            let until = self.last_moved + self.patience.head;
            self.head = Some((begun, Box::pin(sleep_until(until))));
        }
    }

    fn cut(&self, reason: &'static str) -> io::Error {
        self.metrics.connection_cut(reason);
        io::Error::new(ErrorKind::TimedOut, reason)
    }

    fn moved(&mut self) {
        self.idle_polls = 0;
        self.last_moved = Instant::now();
    }

    /// Whether a head has been coming for too long.
    fn poll_head(&mut self, task: &mut Context<'_>) -> Poll<io::Error> {
        let Some((before, timer)) = &mut self.head else {
            return Poll::Pending;
        };
        if self.requests.0.begun.get() != *before {
            self.head = None;
            return Poll::Pending;
        }
        ready!(timer.as_mut().poll(task));
        self.head = None;
        Poll::Ready(self.cut("head"))
    }

    /// Whether nothing has moved for too long, and no request is the reason.
    fn poll_quiet(&mut self, task: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.quiet.as_mut().poll(task));
            let now = Instant::now();
            let mut until = self.last_moved + self.patience.quiet;
            if self.requests.0.running.get() > 0 {
                until = now + self.patience.quiet;
            } else if until <= now {
                return Poll::Ready(self.cut("silent"));
            }
            self.quiet.as_mut().reset(until);
        }
    }

    /// What became of writing; an error when the client has accepted nothing for too long.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.moved();
            self.stall = None;
            return written;
        }
        let until = Instant::now() + self.patience.send;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(stall.as_mut().poll(task));
        Poll::Ready(Err(self.cut("unread")))
    }

    /// A round of the dispatcher comes to its end, and with it a turn.
    fn count_poll(&mut self) -> io::Result<()> {
        self.read_in_turn = 0;
        self.idle_polls += 1;
        if self.idle_polls < IDLE_POLLS_MAX {
            return Ok(());
        }
        Err(self.cut("ahead"))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read_in_turn >= TURN_BYTES_MAX {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(task, buffer);
        let bytes = buffer.filled().len().saturating_sub(before);
        if bytes > 0 {
            this.received(bytes);
        }
        if read.is_pending() {
            if let Poll::Ready(error) = this.poll_head(task) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(error) = this.poll_quiet(task) {
                return Poll::Ready(Err(error));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.count_poll()?;
        let written = Pin::new(&mut this.stream).poll_write(task, bytes);
        this.written(written, task)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.count_poll()?;
        let written = Pin::new(&mut this.stream).poll_write_vectored(task, slices);
        this.written(written, task)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once in every round of actix-web's dispatcher, whether there is something to write or
    /// not, so that a round that moves nothing is seen here.
    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.count_poll()?;
        Pin::new(&mut this.stream).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(task)
    }
}
