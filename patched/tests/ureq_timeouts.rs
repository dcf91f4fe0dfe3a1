//! The timeouts that `ureq.rs` does not have: each ends its request, and says which it was.

mod util;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use evy_patched::ureq::{Agent, Error, SendBody, Timeout};
use util::{HttpServer, answer, answer_with, pause, read_request, serve_one, wait_for_end};

const LIMIT: Option<Duration> = Some(Duration::from_millis(50));

fn reason(error: Error) -> Timeout {
    match error {
        Error::Timeout(reason) => reason,
        error => panic!("{error:?}"),
    }
}

/// A server that takes a connection, and reads nothing.
fn deaf_server() -> String {
    let address = serve_one(|client| {
        pause(Duration::from_secs(20));
        drop(client);
        Ok(())
    });
    format!("http://{address}/")
}

#[test]
fn a_call_has_its_own_time_and_all_redirects_together_another() {
    let server = HttpServer::start(|request| match request.path() {
        "/end" => answer("200 OK", "the end"),
        path => {
            pause(Duration::from_millis(200));
            let rest = path.strip_prefix("/slow").unwrap();
            answer_with("302 Found", &format!("Location: {rest}\r\n"))
        }
    });
    let url = server.url("/slow/slow/slow/end");
    let patient = Some(Duration::from_secs(20));
    let agent: Agent = Agent::config_builder().timeout_per_call(patient).build().into();
    assert_eq!(agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap(), "the end");
    // Each call for itself is well within it, together they are not.
    let limit = Some(Duration::from_millis(400));
    let config = Agent::config_builder().timeout_per_call(patient).timeout_global(limit);
    let agent: Agent = config.build().into();
    assert_eq!(reason(agent.get(&url).call().unwrap_err()), Timeout::Global);
    let agent: Agent = Agent::config_builder().timeout_per_call(LIMIT).build().into();
    assert_eq!(reason(agent.get(&url).call().unwrap_err()), Timeout::PerCall);
}

#[test]
fn a_head_that_is_not_read_is_a_send_request_timeout() {
    // More than the buffers of both sides hold.
    let config = Agent::config_builder().timeout_send_request(LIMIT).output_buffer_size(16 << 20);
    let agent: Agent = config.build().into();
    let request = agent.get(deaf_server()).header("X-Large", "x".repeat(12 << 20));
    assert_eq!(reason(request.call().unwrap_err()), Timeout::SendRequest);
}

#[test]
fn a_write_that_takes_long_is_a_per_write_timeout() {
    let agent: Agent = Agent::config_builder().timeout_per_write(LIMIT).build().into();
    let endless = &mut io::repeat(b'x');
    let error = agent.post(deaf_server()).send(SendBody::from_reader(endless)).unwrap_err();
    assert_eq!(reason(error), Timeout::PerWrite);
}

/// Each read is well within its time; all together are not.
#[test]
fn a_body_that_trickles_is_a_timeout_though_each_read_is_not() {
    let address = serve_one(|mut client| {
        read_request(&mut BufReader::new(&client))?;
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
        for _ in 0..1000 {
            client.write_all(b"x")?;
            pause(Duration::from_millis(5));
        }
        Ok(())
    });
    let config = Agent::config_builder()
        .timeout_per_read(Some(Duration::from_secs(20)))
        .timeout_recv_body(Some(Duration::from_millis(100)));
    let agent: Agent = config.build().into();
    let mut response = agent.get(format!("http://{address}/")).call().unwrap();
    let error = response.body_mut().read_to_string().unwrap_err();
    assert_eq!(reason(error), Timeout::RecvBody);
}

#[test]
fn a_head_that_trickles_is_a_recv_response_timeout() {
    let address = serve_one(|mut client| {
        read_request(&mut BufReader::new(&client))?;
        client.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            client.write_all(b"X: y\r\n")?;
            pause(Duration::from_millis(5));
        }
    });
    let agent: Agent = Agent::config_builder().timeout_recv_response(LIMIT).build().into();
    let error = agent.get(format!("http://{address}/")).call().unwrap_err();
    assert_eq!(reason(error), Timeout::RecvResponse);
}

#[test]
fn a_head_without_an_end_is_an_error() {
    let address = serve_one(|mut client| {
        client.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            client.write_all(b"X-Some-Header: some value\r\n")?;
        }
    });
    let agent: Agent = Agent::config_builder().build().into();
    let error = agent.get(format!("http://{address}/")).call().unwrap_err();
    assert!(matches!(error, Error::LargeResponseHeader(..) | Error::Protocol(_)), "{error:?}");
}

#[test]
fn a_server_that_does_not_say_continue_gets_the_body_all_the_same() {
    let address = serve_one(|client| {
        let mut reader = BufReader::new(&client);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let mut body = [0; 4];
        reader.read_exact(&mut body)?;
        (&client).write_all(answer("200 OK", std::str::from_utf8(&body).unwrap()).as_bytes())?;
        wait_for_end(&client);
        Ok(())
    });
    let agent: Agent = Agent::config_builder().timeout_await_100(LIMIT).build().into();
    let request = agent.post(format!("http://{address}/")).header("Expect", "100-continue");
    let mut response = request.send("body").unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "body");
}
