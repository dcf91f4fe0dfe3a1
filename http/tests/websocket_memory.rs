//! What WebSockets keep of the heap while they are idle.

mod websocket_util;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use evy_http::websocket::{self, Options};
use websocket_util::{LONG, echo, serve, settle};

/// The system's allocator, with a count of the bytes that an OS thread has and has not given back.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
}

// SAFETY: every call goes to `System` as it is; counting touches a thread-local that needs neither
// memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SOCKETS: usize = 20;

/// Client and server together, with all that HTTP has of the connection.
const KEPT: isize = 32 * 1024;

#[test]
fn idle_websockets_keep_little_whatever_they_have_carried_and_nothing_behind_their_end() {
    let server = serve(Options::new(), echo);
    let url = format!("ws://{}/", server.local_addr());
    let round = || {
        let before = LIVE.get();
        let sockets: Vec<_> = (0..SOCKETS).map(|_| websocket::connect(&url).unwrap()).collect();
        for length in [1, 1_000, 1_000_000] {
            for socket in &sockets {
                socket.send(vec![7; length]).unwrap();
                assert_eq!(socket.recv().unwrap().unwrap().len(), length);
            }
            settle();
            let kept = (LIVE.get() - before) / SOCKETS as isize;
            println!("after {length} bytes each pair keeps {kept}");
            assert!(kept < KEPT, "{kept} bytes after messages of {length}");
        }
        drop(sockets);
        let begin = Instant::now();
        while server.counters().clients() > 0 {
            assert!(begin.elapsed() < LONG);
            settle();
        }
        settle();
        LIVE.get()
    };
    // What is used again is there after the first.
    let before = round();
    round();
    round();
    let left = round() - before;
    assert!(left < 2_000, "{left} bytes are left behind {} ends", 3 * SOCKETS);
}
