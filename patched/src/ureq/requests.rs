//! Requests on an agent that is used once, as ureq has them.

use ::ureq::http::{self, Request, Response, Uri};
use ::ureq::typestate::{WithBody, WithoutBody};
use ::ureq::{AsSendBody, Body, Error, RequestBuilder};

use super::Agent;

/// Creates an agent with ureq's defaults.
///
/// ```
/// let agent = evy_patched::ureq::agent();
/// assert_eq!(agent.config().max_redirects(), 10);
/// ```
///
/// # Yields
///
/// Never.
#[must_use]
pub fn agent() -> Agent {
    Agent::new_with_defaults()
}

/// Runs a request of the crate `http` on an agent that is used once.
///
/// ```
/// # use std::io::{Read, Write};
/// use evy_patched::ureq::{self, http};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let url = format!("http://{}/", listener.local_addr()?);
/// # evy_runtime::spawn_n(move || -> std::io::Result<()> {
/// #     let (mut peer, _) = listener.accept()?;
/// #     peer.read(&mut [0; 1024])?;
/// #     peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
/// # });
/// let request = http::Request::get(url).header("Accept", "text/plain").body(())?;
/// assert_eq!(ureq::run(request)?.body_mut().read_to_string()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`ureq::run`](::ureq::run).
///
/// # Yields
///
/// Until the head of the response is there.
pub fn run(request: Request<impl AsSendBody>) -> Result<Response<Body>, Error> {
    agent().run(request)
}

/// The hidden part of the examples: a server that gives one answer, then checks nothing more.
macro_rules! with_server {
    ($answer:literal, $method:literal, $call:literal) => {
        concat!(
            "# use std::io::{Read, Write};\n",
            "# let listener = evy_green_net::listen(\"127.0.0.1:0\")?;\n",
            "# let url = format!(\"http://{}/\", listener.local_addr()?);\n",
            "# let server = evy_runtime::spawn(move || -> std::io::Result<_> {\n",
            "#     let (mut peer, _) = listener.accept()?;\n",
            "#     let mut request = [0; 1024];\n",
            "#     let length = peer.read(&mut request)?;\n",
            "#     peer.write_all(b\"",
            $answer,
            "\")?;\n",
            "#     Ok(String::from_utf8_lossy(&request[..length]).into_owned())\n",
            "# });\n",
            "use evy_patched::ureq;\n\n",
            $call,
            "\n",
            "# assert!(server.wait()??.starts_with(\"",
            $method,
            " \"));\n",
            "# Ok::<(), Box<dyn std::error::Error>>(())\n",
        )
    };
}

macro_rules! request {
    ($name:ident, $method:literal, $state:ty, $answer:literal, $call:literal) => {
        #[doc = concat!("Makes a ", $method, " request on an agent that is used once.")]
        ///
        /// ```
        #[doc = with_server!($answer, $method, $call)]
        /// ```
        ///
        /// # Yields
        ///
        /// Not yet; `call` and `send` do, until the head of the response is there.
        #[must_use]
        pub fn $name<T>(uri: T) -> RequestBuilder<$state>
        where
            Uri: TryFrom<T>,
            <Uri as TryFrom<T>>::Error: Into<http::Error>,
        {
            agent().$name(uri)
        }
    };
}

request!(
    get,
    "GET",
    WithoutBody,
    r"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    r#"assert_eq!(ureq::get(url).call()?.body_mut().read_to_string()?, "hello");"#
);
request!(
    post,
    "POST",
    WithBody,
    r"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    r#"assert_eq!(ureq::post(url).send("some text")?.status(), 201);"#
);
request!(
    put,
    "PUT",
    WithBody,
    r"HTTP/1.1 204 No Content\r\n\r\n",
    r#"assert_eq!(ureq::put(url).send("some text")?.status(), 204);"#
);
request!(
    delete,
    "DELETE",
    WithoutBody,
    r"HTTP/1.1 204 No Content\r\n\r\n",
    r"assert_eq!(ureq::delete(url).call()?.status(), 204);"
);
request!(
    head,
    "HEAD",
    WithoutBody,
    r"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    r#"assert_eq!(ureq::head(url).call()?.headers()["content-length"], "5");"#
);
request!(
    options,
    "OPTIONS",
    WithoutBody,
    r"HTTP/1.1 204 No Content\r\nAllow: GET, HEAD\r\n\r\n",
    r#"assert_eq!(ureq::options(url).call()?.headers()["allow"], "GET, HEAD");"#
);
request!(
    patch,
    "PATCH",
    WithBody,
    r"HTTP/1.1 204 No Content\r\n\r\n",
    r#"assert_eq!(ureq::patch(url).send("some text")?.status(), 204);"#
);
request!(
    trace,
    "TRACE",
    WithoutBody,
    r"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    r"assert_eq!(ureq::trace(url).call()?.status(), 200);"
);
request!(
    connect,
    "CONNECT",
    WithoutBody,
    r"HTTP/1.1 200 OK\r\n\r\n",
    r"assert_eq!(ureq::connect(url).call()?.status(), 200);"
);
