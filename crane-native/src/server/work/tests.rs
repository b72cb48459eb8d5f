//! The pool of threads, with jobs that wait for each other.

use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

pub(super) fn share(number: u8) -> Share {
    Share::of_address(Ipv4Addr::new(127, 0, 0, number).into())
}

fn work() -> Arc<Workers> {
    Arc::new(Workers::start(1, 1 << 20).unwrap())
}

fn permit(work: &Arc<Workers>, number: u8, bytes: usize) -> Permit {
    work.enter(&share(number), bytes, work.no_bytes(&share(number))).unwrap()
}

/// Waits until the pool says so.
async fn until(work: &Workers, is_so: impl Fn(Preparing) -> bool) {
    for _ in 0..6000 {
        if is_so(work.preparing()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", work.preparing());
}

#[tokio::test]
async fn a_permit_that_is_dropped_ends_its_jobs_and_gives_its_place_back() {
    let work = work();
    let (ended, end) = mpsc::channel();
    let asked = permit(&work, 1, 0);
    let job = tokio::spawn(async move {
        asked
            .run(move |cancel| {
                while !cancel.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                ended.send(()).unwrap();
                Ok(())
            })
            .await
    });
    until(&work, |now| now.running == 1).await;
    job.abort();
    // It is dropped when its turn comes on this thread.
    assert!(job.await.unwrap_err().is_cancelled());
    end.recv_timeout(Duration::from_secs(60)).unwrap();
    until(&work, |now| now == Preparing { running: 0, waiting: 0 }).await;
    assert!(!work.is_full());
}

#[tokio::test]
async fn jobs_that_wait_go_with_their_permit_and_small_ones_pass_large_ones() {
    let work = work();
    let threads =
        std::thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_THREADS);
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let large = |number: u8| {
        let (permit, wait) = (permit(&work, number, LARGE + 1), wait.clone());
        tokio::spawn(async move {
            let waits = move |_: &_| {
                drop(wait.lock().map(|wait| wait.recv()));
                Ok(())
            };
            permit.run(waits).await
        })
    };
    let jobs: Vec<_> = (0..8).map(|_| large(1)).collect();
    until(&work, |now| now.running == threads - 1 && now.waiting == 9 - threads).await;
    // A thread is left for what is small, of the same share, too.
    assert_eq!(permit(&work, 1, 10).run(|_| Ok(7)).await.unwrap(), 7);
    jobs.iter().for_each(|job| job.abort());
    until(&work, |now| now.waiting == 0).await;
    drop(release);
    until(&work, |now| now.running == 0).await;
}

#[tokio::test]
async fn beyond_the_places_requests_are_told_to_come_back() {
    let work = work();
    let held: Vec<Permit> = (0..LEAST_REQUESTS).map(|_| permit(&work, 1, 0)).collect();
    let refused = work.enter(&share(1), 0, work.no_bytes(&share(1))).unwrap_err();
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["code"]),
        (429, &"server_busy".into())
    );
    // Another share is let in all the same.
    assert_eq!(permit(&work, 2, 0).run(|_| Ok(1)).await.unwrap(), 1);
    drop(held);
    permit(&work, 1, 0);
}

#[tokio::test]
async fn a_place_is_free_while_its_request_waits_elsewhere() {
    let work = work();
    let mut held: Vec<Permit> = (0..LEAST_REQUESTS).map(|_| permit(&work, 1, 0)).collect();
    let waits = held.pop().unwrap();
    let (sender, receiver) = oneshot::channel::<()>();
    let waiting = tokio::spawn(async move { waits.outside(receiver).await });
    tokio::task::yield_now().await;
    for _ in 0..1000 {
        if let Ok(permit) = work.enter(&share(1), 0, work.no_bytes(&share(1))) {
            held.push(permit);
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(held.len(), LEAST_REQUESTS);
    sender.send(()).unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let work = work();
    let panics = permit(&work, 1, 0);
    let error = panics.run(|_| -> Result<(), ApiError> { panic!("oh no") }).await.unwrap_err();
    assert!(error.status == 500 && error.json().to_string().contains("oh no"));
    assert_eq!(panics.embed(|_| Ok(2)).await.unwrap(), 2);
}
