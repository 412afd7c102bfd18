//! Connections to Redis that are used once it is certain that the last use of each ended well.
//!
//! bb8-redis' own manager asks for a sign of life before each use, waits for it for ever, and gives a
//! connection back whatever became of its last question; hence the manager here around it.

use std::io;

use bb8::{ManageConnection, PooledConnection};
use bb8_redis::RedisConnectionManager;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{super::seal::VALUE_BYTES_MAX, CONNECT_MAX};

pub(super) type Pool = bb8::Pool<Dialer>;

/// A pool that connects by itself, and again and again; nothing waits for it here. Called on the
/// runtime where the connections are to live.
pub(super) fn open(manager: RedisConnectionManager, connections_max: u32) -> Pool {
    Pool::builder()
        .max_size(connections_max.max(1))
        .min_idle(1)
        .test_on_check_out(false)
        .connection_timeout(CONNECT_MAX)
        .queue_strategy(bb8::QueueStrategy::Lifo) // The one that was used last is the likeliest to live.
        .error_sink(Box::new(LoggingSink))
        .build_unchecked(Dialer(manager))
}

/// Opens connections, and knows which are done for.
#[derive(Debug)]
pub(super) struct Dialer(RedisConnectionManager);

/// A connection, and whether a question of it is open.
pub(super) struct Line {
    connection: MultiplexedConnection,
    /// Set while a question has no answer: who is cut off leaves it set.
    waits: bool,
}

impl ManageConnection for Dialer {
    type Connection = Line;
    type Error = RedisError;

    async fn connect(&self) -> Result<Line, RedisError> {
        let connected = timeout(CONNECT_MAX, self.0.connect()).await;
        let late = |_elapsed| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        Ok(Line {
            connection: connected.map_err(late)??,
            waits: false,
        })
    }

    async fn is_valid(&self, _: &mut Line) -> Result<(), RedisError> {
        Ok(()) // Its use will tell, within the time that the use has.
    }

    fn has_broken(&self, line: &mut Line) -> bool {
        line.waits
    }
}

impl Line {
    async fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, RedisError> {
        self.waits = true;
        let answer = question.query_async(&mut self.connection).await;
        self.waits = answer.as_ref().is_err_and(is_no_answer);
        answer
    }

    /// Asks all at once; one refusal does not hide the other answers.
    pub(super) async fn ask_all(
        &mut self,
        questions: &Pipeline,
    ) -> Result<Vec<Result<redis::Value, RedisError>>, RedisError> {
        self.waits = true;
        let answers = questions.query_async(&mut self.connection).await;
        self.waits = answers.as_ref().is_err_and(is_no_answer);
        answers
    }
}

/// Whether an error is not what the server said: the connection may be anywhere in the protocol.
fn is_no_answer(error: &RedisError) -> bool {
    !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// What Redis has under a key.
#[derive(Debug)]
pub(super) enum Fetched {
    Nothing,
    Value(Vec<u8>),
    OfAnotherType,
}

/// Connections that the server closed while they rested are thrown away, at most this many.
const DEAD_MAX: usize = 64;

/// A connection of the pool.
pub(super) async fn line(pool: &Pool) -> Result<PooledConnection<'_, Dialer>, RedisError> {
    pool.get().await.map_err(|error| match error {
        bb8::RunError::User(error) => error,
        bb8::RunError::TimedOut => RedisError::from(io::Error::from(io::ErrorKind::TimedOut)),
    })
}

/// Reads no more than one byte beyond the longest value that we write, whatever stands there.
pub(super) async fn fetch(pool: &Pool, key: &str) -> Result<Fetched, RedisError> {
    let mut question = redis::cmd("GETRANGE");
    question.arg(key).arg(0).arg(VALUE_BYTES_MAX);
    let mut dead = 0;
    loop {
        let answer = line(pool).await?.ask::<Vec<u8>>(&question).await;
        return match answer {
            Ok(value) if value.is_empty() => Ok(Fetched::Nothing),
            Ok(value) => Ok(Fetched::Value(value)),
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(Fetched::OfAnotherType),
            Err(error) if error.is_connection_dropped() && dead < DEAD_MAX => {
                dead += 1;
                continue;
            }
            Err(error) => Err(error),
        };
    }
}

/// Tells what bb8 would swallow; the breaker tells when it is of consequence.
#[derive(Clone, Copy, Debug)]
struct LoggingSink;

impl bb8::ErrorSink<RedisError> for LoggingSink {
    fn sink(&self, error: RedisError) {
        tracing::debug!(%error, "a connection to Redis failed");
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<RedisError>> {
        Box::new(*self)
    }
}
