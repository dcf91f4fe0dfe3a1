//! Which handler of a router answers which request, and what it gets.

mod util;

use std::cell::RefCell;
use std::rc::Rc;

use evy_http::{
    Handler, HeaderValue, Html, IntoResponse, Method, PathParams, Request, Response, Router,
    RunningServer, StatusCode, header,
};
use util::{exchange, start};

/// What a server says to a request without a body: all of it, in lower case.
fn ask(server: &RunningServer, method: &str, target: &str) -> String {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    exchange(server.local_addr(), head).to_ascii_lowercase()
}

/// Its status and body.
fn answer(server: &RunningServer, method: &str, target: &str) -> (u16, String) {
    let answer = ask(server, method, target);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// Its status and the methods in `Allow`.
fn allowed(server: &RunningServer, method: &str, target: &str) -> (u16, Option<String>) {
    let answer = ask(server, method, target);
    let allow = answer.lines().find_map(|line| line.strip_prefix("allow: "));
    (answer[9..12].parse().unwrap(), allow.map(str::to_ascii_uppercase))
}

fn says(text: &'static str) -> impl Handler {
    move |_: Request| text
}

#[test]
fn each_method_has_its_handler() {
    let router = Router::new()
        .get("/", says("get"))
        .post("/", says("post"))
        .put("/", says("put"))
        .delete("/", says("delete"))
        .patch("/", says("patch"))
        .options("/", says("options"))
        .route(Method::TRACE, "/", says("trace"))
        .route(Method::from_bytes(b"PURGE").unwrap(), "/", says("purge"));
    let server = start(router);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE"] {
        assert_eq!(answer(&server, method, "/"), (200, method.to_ascii_lowercase()));
    }
}

#[test]
fn head_is_answered_by_its_own_handler_or_else_by_that_for_get_or_any() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let notes = |text: &'static str| {
        let asked = Rc::clone(&asked);
        move |_: Request| {
            asked.borrow_mut().push(text);
            text
        }
    };
    let router = Router::new()
        .head("/own", notes("own"))
        .get("/own", notes("not this"))
        .get("/get", notes("get"))
        .any("/get", notes("not this"))
        .any("/any", notes("any"));
    let server = start(router);
    for path in ["/own", "/get", "/any"] {
        assert_eq!(answer(&server, "HEAD", path), (200, String::new()));
    }
    assert_eq!(*asked.borrow(), ["own", "get", "any"]);
}

#[test]
fn any_answers_every_method_that_has_no_handler_of_its_own() {
    let server = start(Router::new().get("/", says("get")).any("/", says("any")));
    assert_eq!(answer(&server, "GET", "/"), (200, "get".to_owned()));
    for method in ["POST", "PUT", "OPTIONS", "TRACE", "PURGE"] {
        assert_eq!(answer(&server, method, "/"), (200, "any".to_owned()), "{method}");
    }
}

#[test]
fn a_method_without_handler_is_405_with_those_that_have_one() {
    let server = start(Router::new().post("/", says("post")).put("/", says("put")));
    let methods = Some("OPTIONS, POST, PUT".to_owned());
    for method in ["GET", "HEAD", "DELETE", "PURGE"] {
        assert_eq!(allowed(&server, method, "/"), (405, methods.clone()), "{method}");
    }
}

#[test]
fn options_without_handler_are_204_with_the_methods_of_the_path() {
    let router = Router::new()
        .get("/things/{id}", says("get"))
        .delete("/things/{id}", says("delete"))
        .post("/things", says("post"));
    let server = start(router);
    for (path, methods) in
        [("/things/7", "DELETE, GET, HEAD, OPTIONS"), ("/things", "OPTIONS, POST")]
    {
        assert_eq!(allowed(&server, "OPTIONS", path), (204, Some(methods.to_owned())), "{path}");
    }
    assert_eq!(allowed(&server, "OPTIONS", "/nothing"), (404, None));
}

#[test]
fn options_for_a_star_are_204_with_the_methods_of_all_paths() {
    let some = || Router::new().get("/a", says("a")).put("/b", says("b"));
    let all = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
    for (router, methods) in [
        (Router::new(), "OPTIONS"),
        (some(), "GET, HEAD, OPTIONS, PUT"),
        // That is for paths, and a star is none.
        (some().fallback(says("fallback")), "GET, HEAD, OPTIONS, PUT"),
        (some().any("/c", says("c")), all),
    ] {
        let server = start(router);
        assert_eq!(allowed(&server, "OPTIONS", "*"), (204, Some(methods.to_owned())));
    }
}

#[test]
fn a_path_without_handlers_is_404_or_what_the_fallback_says() {
    let server = start(Router::new().get("/known", says("known")));
    for method in ["GET", "POST"] {
        assert_eq!(answer(&server, method, "/unknown").0, 404);
    }
    let server = start(Router::new().get("/known", says("known")).fallback(|request: Request| {
        (StatusCode::NOT_FOUND, format!("no {}", request.uri().path()))
    }));
    assert_eq!(answer(&server, "GET", "/unknown"), (404, "no /unknown".to_owned()));
    assert_eq!(answer(&server, "GET", "/known"), (200, "known".to_owned()));
}

#[test]
fn a_handler_finds_what_stands_for_the_names_of_its_path() {
    let show = |request: Request| match request.extensions().get::<PathParams>() {
        Some(params) => format!("{} {:?}", &params["name"], params.get("rest")),
        None => "none".to_owned(),
    };
    let router = Router::new().get("/", show).get("/{name}", show).any("/{name}/{*rest}", show);
    let server = start(router);
    for (target, expected) in
        [("/", "none"), ("/a%20b?c", "a%20b none"), ("/a/b/c", "a some(\"b/c\")")]
    {
        assert_eq!(answer(&server, "GET", target), (200, expected.to_owned()), "{target}");
    }
}

#[test]
#[should_panic(expected = "there is a handler for PUT /a already")]
fn a_second_handler_for_a_method_is_refused() {
    drop(Router::new().put("/a", says("one")).put("/a", says("two")));
}

#[test]
#[should_panic(expected = "there is a handler for any method of /a already")]
fn a_second_handler_for_any_method_is_refused() {
    drop(Router::new().any("/a", says("one")).any("/a", says("two")));
}

#[test]
fn headers_of_a_pair_replace_what_was_there_and_may_be_repeated() {
    let value = HeaderValue::from_static;
    let response: Response = (
        StatusCode::CREATED,
        (
            [
                (header::CONTENT_TYPE, value("text/css")),
                (header::SET_COOKIE, value("a=1")),
                (header::SET_COOKIE, value("b=2")),
            ],
            "body {}",
        ),
    )
        .into_response();
    assert_eq!(response.status(), StatusCode::CREATED);
    let all = |name| response.headers().get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all(header::CONTENT_TYPE), ["text/css"]);
    assert_eq!(all(header::SET_COOKIE), ["a=1", "b=2"]);
}

#[test]
fn a_page_is_html_in_utf_8() {
    let server = start(Router::new().get("/", |_: Request| Html("<p>ä".to_owned())));
    let answer = ask(&server, "GET", "/");
    assert!(answer.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n<p>ä"), "{answer}");
}
