//! Very many connections within a moment: FAULTS row 20.

mod util;

use std::net::SocketAddr;

use evy_green_net::TcpListener;
use evy_runtime::spawn;
use socket2::{Domain, Socket, Type};
use util::soon;

#[test]
fn fault_20_of_five_thousand_connects_in_one_burst_none_is_refused() {
    const CLIENTS: usize = 5000;
    util::alone("fault_20_of_five_thousand_connects_in_one_burst_none_is_refused", || {
        let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        if somaxconn.trim().parse::<u32>().unwrap() < 4096 {
            return eprintln!("the system has shorter queues: nothing was tested");
        }
        let limit = util::limit_descriptors(2 * CLIENTS as u64 + 200);
        assert!(limit > 2 * CLIENTS as u64 + 100, "this test takes {} descriptors", 2 * CLIENTS);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let acceptor = spawn(move || {
            let accept = |_| listener.accept().unwrap();
            (0..CLIENTS).map(accept).collect::<Vec<_>>()
        });
        util::let_all_park();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let client = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
                if let Err(error) = client.connect(&address.into()) {
                    assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
                }
                client
            })
            .collect();
        let accepted = soon(|| acceptor.wait()).unwrap();
        assert_eq!(accepted.len(), CLIENTS);
        for client in &clients {
            assert!(client.take_error().unwrap().is_none());
            client.peer_addr().unwrap();
        }
    });
}
