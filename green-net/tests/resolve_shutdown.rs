//! Lookups whose pool is shut down: alone in a program, for the pool is the whole process's.

use std::sync::mpsc::channel;
use std::time::Duration;

use evy_green_net::lookup_host;
use evy_runtime::{spawn, threadpool, timeout, unblock, yield_now};

#[test]
fn fault_39_a_lookup_that_a_shutdown_of_the_pool_drops_fails_and_the_next_one_works() {
    threadpool::set_size(1);
    let (end, wait) = channel::<()>();
    let (begin, begun) = channel();
    let busy = spawn(move || {
        unblock(move || {
            begin.send(()).unwrap();
            wait.recv()
        })
    });
    yield_now();
    begun.recv().unwrap();
    // The first has its place and waits for an OS thread; the others wait for a place.
    let names = ["one.invalid", "two.invalid", "one.invalid"];
    let lookups = names.map(|name| spawn(move || lookup_host((name, 0)).map(drop)));
    yield_now();
    assert!(threadpool::shutdown(Duration::from_millis(1)).is_err());
    for lookup in lookups {
        let lookup = timeout(Duration::from_secs(20), || lookup.wait()).expect("nobody answers it");
        let error = lookup.unwrap().unwrap_err();
        assert!(error.to_string().contains("no OS thread does this lookup"), "{error}");
    }
    end.send(()).unwrap();
    busy.wait().unwrap().unwrap();
    // A name that has to be looked up has its answer again, whatever that is.
    let again = timeout(Duration::from_secs(60), || lookup_host(("one.invalid", 0)).map(drop));
    let error = again.expect("nobody answers it").unwrap_err();
    assert!(!error.to_string().contains("no OS thread"), "{error}");
}
