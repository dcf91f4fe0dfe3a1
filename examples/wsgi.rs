//! A web server that knows one page.
//!
//! ```text
//! cargo run --example wsgi --features http -- 127.0.0.1:8090
//! curl -i http://127.0.0.1:8090/
//! ```

use evy::http::{Request, StatusCode};

fn hello_world(request: Request) -> (StatusCode, &'static str) {
    if request.uri().path() != "/" {
        return (StatusCode::NOT_FOUND, "Not Found\r\n");
    }
    (StatusCode::OK, "Hello, World!\r\n")
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".to_owned());
    let listener = evy::listen(address)?;
    println!("listening on {}", listener.local_addr()?);
    evy::http::serve(listener, hello_world)
}
