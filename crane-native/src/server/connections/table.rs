//! All open connections, how many there may be, and which one makes room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::activity::Activity;

/// How often it is looked for a connection that can be closed where all are at work.
const LOOK: Duration = Duration::from_millis(20);

/// Whose a connection is: connections of one owner make room for those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// An IPv4 address, or an IPv6 network of 64 bits, which is what one client has.
    Address(IpAddr),
    /// A proxy's clients are many; each of its connections counts for itself.
    Proxied(u64),
}

impl Owner {
    pub(super) fn of(peer: IpAddr) -> Self {
        const NETWORK: u128 = u128::MAX << 64;
        Self::Address(match peer.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[derive(Debug, Default)]
struct Entries {
    open: HashMap<u64, (Owner, Arc<Activity>)>,
    count: u64,
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Table {
    most: usize,
    entries: Mutex<Entries>,
    left: Notify,
}

/// A connection's place in the table, for as long as it is open.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Table>,
    number: u64,
    /// What the connection does.
    pub(super) activity: Arc<Activity>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().open.remove(&self.number);
        self.table.left.notify_one();
    }
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: Mutex::default(), left: Notify::new() }
    }

    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection. Where there is none, one that waits for its client is closed; where all are at
    /// work, the new one waits. It waits for the closed one's end, too: until then its descriptor is open.
    pub(super) async fn place(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Place {
        while self.is_full() {
            if !self.is_closing() {
                self.make_room();
            }
            let _ = timeout(LOOK, self.left.notified()).await;
        }
        let activity = Arc::new(Activity::new(Instant::now()));
        let mut entries = self.lock();
        entries.count += 1;
        let number = entries.count;
        let owner = if is_proxy { Owner::Proxied(number) } else { Owner::of(peer) };
        entries.open.insert(number, (owner, activity.clone()));
        Place { table: self.clone(), number, activity }
    }

    fn is_full(&self) -> bool {
        self.lock().open.len() >= self.most
    }

    /// Whether a connection was closed whose task has not ended yet.
    fn is_closing(&self) -> bool {
        self.lock().open.values().any(|(_, activity)| activity.was_cut())
    }

    /// Closes the connection that has waited longest for its client, of the owner that has most of them; its task ends
    /// in a moment. Returns whether there was one.
    pub(super) fn make_room(&self) -> bool {
        let entries = self.lock();
        let mut counts = HashMap::<Owner, usize>::new();
        for (owner, activity) in entries.open.values() {
            if !activity.was_cut() {
                *counts.entry(*owner).or_default() += 1;
            }
        }
        let waiting = entries.open.iter().filter_map(|(number, (owner, activity))| {
            let since = activity.waiting_since()?;
            Some((counts.get(owner).copied(), std::cmp::Reverse(since), *number))
        });
        let mut waiting: Vec<_> = waiting.collect();
        // One that is just asked something stays, and the next one goes.
        while let Some(found) = waiting.iter().enumerate().max_by_key(|(_, entry)| **entry) {
            let (index, &(_, _, number)) = found;
            waiting.swap_remove(index);
            let Some((_, activity)) = entries.open.get(&number) else { continue };
            if activity.cut() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    /// What is left of a connection that ends when it is cut, as the task of one does.
    fn open(place: Place) -> (Arc<Activity>, tokio::task::JoinHandle<()>) {
        let activity = place.activity.clone();
        let task = tokio::spawn(async move { place.activity.is_cut().await });
        (activity, task)
    }

    #[test]
    fn the_longest_idle_connection_of_whoever_has_most_makes_room() {
        on_a_runtime(async {
            let table = Arc::new(Table::new(5));
            let mut opened = Vec::new();
            for peer in ["192.0.2.1", "192.0.2.9", "192.0.2.9", "192.0.2.9", "192.0.2.2"] {
                opened.push(open(table.place(peer.parse().unwrap(), false).await));
            }
            let busy = opened[1].0.begin();
            opened.push(open(table.place("192.0.2.3".parse().unwrap(), false).await));
            // The first of 192.0.2.9 is at work, and 192.0.2.1 has but one, though it is the oldest.
            let cut: Vec<_> = opened.iter().map(|(activity, _)| activity.was_cut()).collect();
            assert_eq!(cut, [false, false, true, false, false, false]);
            assert_eq!(table.lock().open.len(), 5);
            drop(busy);
            for (activity, task) in opened {
                activity.cut();
                task.await.unwrap();
            }
            assert_eq!(table.lock().open.len(), 0);
        });
    }

    #[test]
    fn there_are_never_more_than_fit() {
        on_a_runtime(async {
            let table = Arc::new(Table::new(1));
            let peer = "192.0.2.1".parse().unwrap();
            let place = table.place(peer, false).await;
            // It is cut, but its task has not ended: its descriptor is open.
            let early = timeout(3 * LOOK, table.place(peer, false)).await;
            assert!(early.is_err() && place.activity.was_cut());
            assert!(!table.make_room());
            drop(place);
            let _new = table.place(peer, false).await;
        });
    }

    #[test]
    fn connections_of_a_proxy_count_each_for_itself() {
        on_a_runtime(async {
            let table = Arc::new(Table::new(4));
            let mut places = Vec::new();
            for (peer, is_proxy) in [
                ("192.0.2.9", true),
                ("192.0.2.9", true),
                ("2001:db8::1", false),
                ("2001:db8::2", false),
            ] {
                places.push(table.place(peer.parse().unwrap(), is_proxy).await);
            }
            let was_cut = |index: usize| places[index].activity.was_cut();
            assert!(table.make_room());
            // One client has a whole network.
            assert!(was_cut(2) && !was_cut(0));
            assert!(table.make_room() && was_cut(0));
        });
    }

    #[test]
    fn where_all_are_at_work_the_new_one_waits() {
        on_a_runtime(async {
            let table = Arc::new(Table::new(1));
            let peer = "192.0.2.1".parse().unwrap();
            let place = table.place(peer, false).await;
            let busy = place.activity.begin();
            let early = timeout(3 * LOOK, table.place(peer, false)).await;
            assert!(early.is_err() && !place.activity.was_cut());
            drop(busy);
            let (activity, task) = open(place);
            let _new = table.place(peer, false).await;
            assert!(activity.was_cut() && task.is_finished());
        });
    }
}
