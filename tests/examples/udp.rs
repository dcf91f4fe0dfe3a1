//! The server and the client of datagrams.

use super::*;

#[test]
fn udp_server_answers_each_datagram_and_udp_client_asks() {
    let (_server, address, mut said) = listening("udp_server", &["127.0.0.1:0"]);
    for (message, length) in [("hello", 5), ("", 0), ("grün", 5)] {
        let output = run("udp_client", &[message, &address]);
        assert!(output.status.success(), "{output:?}");
        let expected = [
            format!("sending {length} bytes to {address}"),
            format!("{address}: got \"Received {length} bytes\""),
        ];
        assert_eq!(lines(&output), expected);
        let heard = said.next().expect("it says what it got");
        assert!(heard.ends_with(&format!(": got {message:?}")), "{heard}");
    }
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&[b'x'; 60_000], &address).unwrap();
    let mut answer = [0; 100];
    let (count, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!(&answer[..count], b"Received 60000 bytes");
    assert_eq!(from.to_string(), address);
}

#[test]
fn udp_client_asks_three_times_and_gives_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let start = Instant::now();
    let output = run("udp_client", &["anybody?", &address]);
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(lines(&output), vec![format!("sending 8 bytes to {address}"); 3]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("TimedOut"), "{output:?}");
    let mut datagram = [0; 100];
    for _ in 0..3 {
        assert_eq!(silent.recv(&mut datagram).unwrap(), 8);
    }
    drop(silent);
    let output = run("udp_client", &["anybody?", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ConnectionRefused"), "{output:?}");
}
