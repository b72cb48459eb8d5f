//! Models that are loaded when they are asked for: who uses one holds a lease, and does what the roster decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::roster::{Deed, Keeping, Roster, State, Stay, Waiter};
use crate::memory;
use crate::server::wire::ApiError;

/// After how many seconds it is worth asking again where many wait for a model.
const LOADING_SECONDS: u64 = 5;

/// What can be kept on a shelf.
pub trait Kept: Clone + Send + Sync + 'static {
    /// Bytes of memory that it may still take, which are not there for others.
    fn promised(&self) -> u64;
    /// Gives up what is under way.
    fn abandon(&self);
}

/// Why a model could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// In words.
    pub reason: String,
    /// Whether it would fit if others made room.
    pub lacks_memory: bool,
}

/// Loads a model; it is told how many bytes the models beside it may still take.
pub type Loader<M> = Box<dyn Fn(u64) -> Result<M, LoadError> + Send + Sync>;

type Waiting<M> = oneshot::Sender<Result<Lease<M>, ApiError>>;

impl<T> Waiter for oneshot::Sender<T> {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

/// All models of a server.
pub(super) struct Shelf<M: Kept> {
    roster: Mutex<Roster<M, Waiting<M>>>,
    loaders: Vec<Loader<M>>,
    /// Something happened that may let a model come or go.
    changed: Notify,
    ended: std::sync::atomic::AtomicBool,
}

/// A model in use: it stays in memory for as long as this lives.
pub(super) struct Lease<M: Kept> {
    shelf: Arc<Shelf<M>>,
    index: usize,
    model: Option<M>,
}

impl<M: Kept> Lease<M> {
    pub(super) fn model(&self) -> Option<&M> {
        self.model.as_ref()
    }

    /// Says for how long the model stays once nobody uses it.
    pub(super) fn keep(&self, stay: Stay) {
        self.shelf.lock().keep(self.index, stay);
    }
}

impl<M: Kept> Drop for Lease<M> {
    fn drop(&mut self) {
        // The shelf is the last one that holds a model which goes.
        self.model = None;
        self.shelf.lock().release(self.index, Instant::now());
        self.shelf.changed.notify_one();
    }
}

impl<M: Kept> Shelf<M> {
    pub(super) fn new(loaders: Vec<Loader<M>>, keeping: Keeping) -> Self {
        Self {
            roster: Mutex::new(Roster::new(loaders.len(), keeping)),
            loaders,
            changed: Notify::new(),
            ended: false.into(),
        }
    }

    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, Roster<M, Waiting<M>>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self, index: usize) -> State {
        self.lock().state(index)
    }

    /// Why a model could not be loaded, if that is how it is.
    pub(super) fn failure(&self, index: usize) -> Option<String> {
        self.lock().failure(index).map(str::to_owned)
    }

    /// Notes that a model could not be loaded.
    pub(super) fn fail(&self, index: usize, reason: String) {
        self.lock().fail(index, reason);
    }

    /// Says for how long a model stays once nobody uses it.
    pub(super) fn keep_for(&self, index: usize, stay: Stay) {
        self.lock().keep(index, stay);
        self.changed.notify_one();
    }

    /// When a model that is in memory goes, if nobody comes from now on.
    pub(super) fn expires(&self, index: usize) -> Option<Instant> {
        self.lock().expires(index, Instant::now())
    }

    /// The model, if it is loaded, for a glance.
    pub(super) fn glance(&self, index: usize) -> Option<M> {
        self.lock().model(index).cloned()
    }

    pub(super) fn waiting(&self, index: usize) -> usize {
        self.lock().waiting(index)
    }

    /// Puts a model there that was loaded elsewhere.
    pub(super) fn put(&self, index: usize, model: M) {
        // Nobody can wait yet.
        drop(self.lock().loaded(index, model, Instant::now()));
    }

    /// Bytes that those which are loaded may still take.
    pub(super) fn promised(&self) -> u64 {
        self.lock().models().map(Kept::promised).sum()
    }

    fn leased(self: &Arc<Self>, index: usize, model: M) -> Lease<M> {
        Lease { shelf: self.clone(), index, model: Some(model) }
    }

    /// A model, as soon as it is in memory.
    ///
    /// # Errors
    /// 429 if `most` wait for it already, 503 if it cannot be loaded.
    pub(super) async fn lease(
        self: &Arc<Self>,
        index: usize,
        most: usize,
    ) -> Result<Lease<M>, ApiError> {
        let receiver = {
            let mut roster = self.lock();
            if self.has_ended() {
                return Err(ApiError::ending());
            }
            if let Some(model) = roster.take(index) {
                return Ok(self.leased(index, model));
            }
            let (sender, receiver) = oneshot::channel();
            roster.wait(index, sender, most).map_err(|()| ApiError::busy(most, LOADING_SECONDS))?;
            receiver
        };
        self.changed.notify_one();
        receiver.await.unwrap_or_else(|_| Err(ApiError::ending()))
    }

    fn has_ended(&self) -> bool {
        self.ended.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Gives up everything that is under way or waits.
    pub(super) fn abandon(&self) {
        let mut roster = self.lock();
        self.ended.store(true, std::sync::atomic::Ordering::Relaxed);
        let waiters = roster.dismiss();
        let models: Vec<M> = roster.models().cloned().collect();
        drop(roster);
        models.iter().for_each(Kept::abandon);
        tell(waiters, &ApiError::ending());
    }

    /// Loads and unloads models for as long as it is waited for.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            let (deeds, next) = self.lock().advance(Instant::now());
            deeds.into_iter().for_each(|deed| self.perform(deed));
            let changed = self.changed.notified();
            match next {
                Some(next) => {
                    let _ = tokio::time::timeout_at(next.into(), changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn perform(self: &Arc<Self>, deed: Deed<M, Waiting<M>>) {
        let shelf = self.clone();
        match deed {
            Deed::Admit(index, model, waiters) => self.admit(index, &model, waiters),
            Deed::Load(index) => {
                tokio::spawn(async move {
                    let loaded = tokio::task::spawn_blocking({
                        let shelf = shelf.clone();
                        move || shelf.load(index)
                    });
                    let broken = |error: tokio::task::JoinError| LoadError {
                        reason: error.to_string(),
                        lacks_memory: false,
                    };
                    let loaded = loaded.await.unwrap_or_else(|error| Err(broken(error)));
                    shelf.came(index, loaded);
                });
            }
            Deed::Unload(index, model) => {
                tokio::spawn(async move {
                    // It may have threads to wait for. A panic of theirs was told when it happened.
                    let gone = tokio::task::spawn_blocking(move || {
                        drop(model);
                        memory::give_back();
                    });
                    let _ = gone.await;
                    shelf.lock().left(index);
                    shelf.changed.notify_one();
                });
            }
        }
    }

    fn load(&self, index: usize) -> Result<M, LoadError> {
        let promised = self.promised();
        match self.loaders.get(index) {
            Some(load) => load(promised),
            None => {
                Err(LoadError { reason: "there is no such model".to_owned(), lacks_memory: false })
            }
        }
    }

    fn came(self: &Arc<Self>, index: usize, loaded: Result<M, LoadError>) {
        match loaded {
            Ok(model) => {
                let waiters = self.lock().loaded(index, model.clone(), Instant::now());
                self.admit(index, &model, waiters);
            }
            Err(error) => {
                let waiters = self.lock().failed(index, &error.reason, error.lacks_memory);
                tell(waiters, &ApiError::not_loaded(&error.reason));
            }
        }
        self.changed.notify_one();
    }

    /// Hands out leases. One that nobody takes is given back.
    fn admit(self: &Arc<Self>, index: usize, model: &M, waiters: Vec<Waiting<M>>) {
        for waiter in waiters {
            drop(waiter.send(Ok(self.leased(index, model.clone()))));
        }
    }
}

fn tell<M: Kept>(waiters: Vec<Waiting<M>>, error: &ApiError) {
    for waiter in waiters {
        drop(waiter.send(Err(error.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// A model of which it is known how many are in memory.
    #[derive(Clone)]
    struct Counted(Arc<Handle>);

    struct Handle(Arc<AtomicUsize>);

    impl Drop for Handle {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Kept for Counted {
        fn promised(&self) -> u64 {
            // One is enough where nothing fits beside it.
            u64::from(Arc::strong_count(&self.0) > 0)
        }

        fn abandon(&self) {}
    }

    fn loader(there: &Arc<AtomicUsize>, fits_beside: u64) -> Loader<Counted> {
        let there = there.clone();
        Box::new(move |promised| {
            if promised > fits_beside {
                return Err(LoadError { reason: "too large".to_owned(), lacks_memory: true });
            }
            there.fetch_add(1, Ordering::SeqCst);
            Ok(Counted(Arc::new(Handle(there.clone()))))
        })
    }

    fn shelf(fits_beside: u64, keeping: Keeping) -> (Arc<Shelf<Counted>>, Arc<AtomicUsize>) {
        let there = Arc::new(AtomicUsize::new(0));
        let loaders = (0..2).map(|_| loader(&there, fits_beside)).collect();
        (Arc::new(Shelf::new(loaders, keeping)), there)
    }

    #[tokio::test]
    async fn models_take_turns_where_one_fits() {
        let keeping = Keeping { most: None, idle: None };
        let (shelf, there) = shelf(0, keeping);
        let keeper = tokio::spawn(shelf.clone().keep());
        let asked: Vec<_> = (0..20)
            .map(|number| {
                let (shelf, there) = (shelf.clone(), there.clone());
                tokio::spawn(async move {
                    let lease = shelf.lease(number % 2, 20).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    assert!(lease.model().is_some());
                    assert_eq!(there.load(Ordering::SeqCst), 1);
                })
            })
            .collect();
        for asked in asked {
            asked.await.unwrap();
        }
        keeper.abort();
    }

    #[tokio::test]
    async fn an_idle_model_goes_and_comes_back() {
        let keeping = Keeping { most: None, idle: Some(Duration::from_millis(5)) };
        let (shelf, there) = shelf(9, keeping);
        let keeper = tokio::spawn(shelf.clone().keep());
        for _ in 0..2 {
            let lease = shelf.lease(0, 1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(there.load(Ordering::SeqCst), 1);
            drop(lease);
            while shelf.state(0) != State::Unloaded {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(there.load(Ordering::SeqCst), 0);
        }
        keeper.abort();
    }

    #[tokio::test]
    async fn whoever_waits_at_the_end_is_told() {
        let keeping = Keeping { most: Some(1), idle: None };
        let (shelf, _) = shelf(9, keeping);
        let keeper = tokio::spawn(shelf.clone().keep());
        let lease = shelf.lease(0, 1).await.unwrap();
        let waits = tokio::spawn({
            let shelf = shelf.clone();
            async move { shelf.lease(1, 1).await.map(drop) }
        });
        while shelf.waiting(1) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(shelf.lease(1, 1).await.map(drop).unwrap_err().status, 429);
        shelf.abandon();
        assert_eq!(waits.await.unwrap().unwrap_err(), ApiError::ending());
        assert_eq!(shelf.lease(0, 1).await.map(drop).unwrap_err(), ApiError::ending());
        drop(lease);
        keeper.abort();
    }
}
