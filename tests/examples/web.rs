//! The small servers of HTTP and WebSockets.

use super::*;

#[test]
fn wsgi_says_hello_and_knows_no_other_page() {
    let (_server, address, _) = listening("wsgi", &["127.0.0.1:0"]);
    let get = |path| {
        ask(&address, &format!("GET {path} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"))
    };
    let hello = get("/");
    assert!(hello.starts_with("HTTP/1.1 200 OK\r\n"), "{hello}");
    assert!(hello.ends_with("\r\n\r\nHello, World!\r\n"), "{hello}");
    for path in ["/other", "//", "/index.html?/"] {
        let none = get(path);
        assert!(none.starts_with("HTTP/1.1 404 Not Found\r\n"), "{none}");
        assert!(none.ends_with("\r\n\r\nNot Found\r\n"), "{none}");
    }
    // What is no request is an error of its own connection.
    assert!(ask(&address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(get("/").starts_with("HTTP/1.1 200 "));
}

#[cfg(feature = "websocket")]
#[test]
fn websocket_serves_a_page_an_echo_and_data() {
    use evy::http::websocket::{self, CloseCode};

    let (_server, url) = web_page("websocket");
    let mut page = evy::patched::ureq::get(format!("http{url}/")).call().unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.body_mut().read_to_string().unwrap();
    assert!(page.contains("<canvas") && page.contains("/data") && page.contains("/echo"), "{page}");

    let echo = websocket::connect(&format!("ws{url}/echo")).unwrap();
    for text in ["hello", "", "again"] {
        echo.send(text).unwrap();
        assert_eq!(echo.recv().unwrap(), Some(text.into()));
    }
    echo.close(CloseCode::NORMAL, "").unwrap();

    let data = websocket::connect(&format!("ws{url}/data")).unwrap();
    for (n, message) in data.messages().take(3).enumerate() {
        let message = message.unwrap();
        let (x, y) = message.as_text().unwrap().split_once(' ').unwrap();
        assert_eq!(x.parse(), Ok(n));
        assert!((0.0..=1.0).contains(&y.parse::<f64>().unwrap()), "{y}");
    }
    data.close(CloseCode::GOING_AWAY, "").unwrap();
    // What is no page and no WebSocket.
    for (path, status) in [("/nothing", 404), ("/echo", 400)] {
        let error = evy::patched::ureq::get(format!("http{url}{path}")).call().unwrap_err();
        assert_eq!(error.to_string(), format!("http status: {status}"));
    }
}

#[cfg(feature = "websocket")]
#[test]
fn websocket_chat_passes_messages_on_to_all_and_waits_for_nobody() {
    use evy::http::websocket::{self, CloseCode, WebSocket};

    let (_server, url) = web_page("websocket_chat");
    let mut page = evy::patched::ureq::get(format!("http{url}/")).call().unwrap();
    let page = page.body_mut().read_to_string().unwrap();
    assert!(page.contains("<h3>Chat!</h3>") && page.contains("/chat"), "{page}");

    let join = || websocket::connect(&format!("ws{url}/chat")).unwrap();
    let hears = |socket: &WebSocket, text: &str| {
        assert_eq!(socket.recv().unwrap(), Some(text.into()));
    };
    let one = join();
    one.send("alone").unwrap();
    hears(&one, "alone");
    let two = join();
    two.send("two is here").unwrap();
    [&one, &two].into_iter().for_each(|participant| hears(participant, "two is here"));
    let three = join();
    three.send("three, too").unwrap();
    [&one, &two, &three].into_iter().for_each(|participant| hears(participant, "three, too"));
    for text in ["hello", "<b>to all</b>"] {
        two.send(text).unwrap();
        [&one, &two, &three].into_iter().for_each(|participant| hears(participant, text));
    }
    three.close(CloseCode::NORMAL, "").unwrap();
    two.send("are you there?").unwrap();
    [&one, &two].into_iter().for_each(|participant| hears(participant, "are you there?"));
    assert_eq!(three.recv().unwrap(), None);
    // Nobody may say that much at once.
    let loud = join();
    loud.send("x".repeat(64 * 1024 + 1)).unwrap();
    assert_eq!(loud.recv().unwrap(), None);
    assert_eq!(loud.closed().unwrap().code, CloseCode::TOO_BIG);

    let _deaf = join();
    let text = "x".repeat(10_000);
    // Far more than the sockets' buffers and the backlog hold.
    for _ in 0..3_000 {
        one.send(text.clone()).unwrap();
        hears(&one, &text);
        hears(&two, &text);
    }
}
