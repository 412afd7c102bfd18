//! The task that puts answers into Redis and tells the other nodes. Start reading at [`new`].

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, RedisError};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{Instant, timeout},
};

use super::{
    Keys,
    gate::Gate,
    pool::{self, Pool},
};
use crate::lookups::{
    LookupWatch,
    seal::{Address, Seal, VALUE_BYTES_MAX},
    watch::Put,
};

/// Answers that may wait to be written: what the busiest second brings while Redis thinks for some
/// hundredths of it. Each is about a kilobyte.
const WAITING_MAX: usize = 1_024;
/// Answers that are written at once.
const AT_ONCE_MAX: usize = 64;
/// How many times as long as a look-up that may take, and what it may take in any case. Nobody waits for
/// it but the answers behind.
const GET_TIMEOUTS: u32 = 10;
const WRITE_MAX_LEAST: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Sealed {
    address: Address,
    value: Vec<u8>,
}

/// The way to the task that writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Sealed>,
    watch: Arc<dyn LookupWatch>,
}

/// The way in, and the task itself.
pub(super) fn new(
    pool: Pool,
    gate: Gate,
    seal: watch::Receiver<Arc<Seal>>,
    keys: Keys,
    ttl: Duration,
    get_timeout: Duration,
    watch: Arc<dyn LookupWatch>,
) -> (Writer, impl Future<Output = ()> + Send + 'static) {
    let (queue, waiting) = mpsc::channel(WAITING_MAX);
    let writing = Writing {
        pool,
        gate,
        seal,
        keys,
        ttl,
        write_max: WRITE_MAX_LEAST.max(GET_TIMEOUTS * get_timeout),
        watch: Arc::clone(&watch),
    };
    (Writer { queue, watch }, writing.write_all(waiting))
}

impl Writer {
    /// Puts a value into the queue, or drops it.
    pub(super) fn hand_over(&self, address: Address, value: Vec<u8>) {
        if value.len() > VALUE_BYTES_MAX {
            return self.watch.put(Put::TooLong);
        }
        match self.queue.try_send(Sealed { address, value }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.watch.put(Put::Dropped),
        }
    }
}

struct Writing {
    pool: Pool,
    gate: Gate,
    seal: watch::Receiver<Arc<Seal>>,
    keys: Keys,
    ttl: Duration,
    write_max: Duration,
    watch: Arc<dyn LookupWatch>,
}

impl Writing {
    async fn write_all(self, mut waiting: mpsc::Receiver<Sealed>) {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, AT_ONCE_MAX).await > 0 {
            self.write(&batch).await;
            batch.clear();
        }
    }

    async fn write(&self, batch: &[Sealed]) {
        let tell = |put| batch.iter().for_each(|_| self.watch.put(put));
        let Some(permit) = self.gate.permit(Instant::now()) else {
            return tell(Put::Skipped);
        };
        match timeout(self.write_max, self.put_and_tell(batch)).await {
            // How fast Redis is, the look-ups find out: a batch takes longer. The permit is given back.
            Ok(Ok(written)) => {
                drop(permit);
                written.into_iter().for_each(|put| self.watch.put(put));
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "answers were not put into Redis");
                permit.record(false, Duration::ZERO);
                tell(Put::Error);
            }
            Err(_elapsed) => {
                permit.record(false, self.write_max);
                tell(Put::Error);
            }
        }
    }

    /// What became of each; a message goes out in any case.
    async fn put_and_tell(&self, batch: &[Sealed]) -> Result<Vec<Put>, RedisError> {
        let channel = self.keys.channel(&self.seal.borrow());
        let mut pipeline = Pipeline::with_capacity(2 * batch.len());
        pipeline.ignore_errors();
        for sealed in batch {
            pipeline
                .cmd("SET")
                .arg(self.keys.answer(&sealed.address))
                .arg(&sealed.value)
                .arg("EX")
                .arg(self.ttl.as_secs().max(1));
            pipeline
                .cmd("PUBLISH")
                .arg(&channel)
                .arg(sealed.address.as_slice());
        }
        let mut line = pool::line(&self.pool).await?;
        let answers = line.ask_all(&pipeline).await?;
        let puts = answers.iter().step_by(2);
        Ok(puts
            .map(|answer| match answer {
                Ok(_) => Put::Written,
                Err(_) => Put::Refused,
            })
            .collect())
    }
}
